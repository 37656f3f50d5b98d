"""Models beside each other: judged on the same rows, measured alike, calibrated each by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lamplighter.core import registry
from lamplighter.evaluate.comparison import Comparison, compare, compared, in_bytes, measure
from lamplighter.metrics.calibration import fit_temperature
from lamplighter.tasks.base import Task
from lamplighter.train.evaluation import evaluate

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def source() -> Any:
    return registry.build("source", "digits", {"split": [0.5, 0.2, 0.3]}, {"seed": 0})


def trained(source: Any, hidden: int, steps: int = 60) -> Any:
    facts = {**source.signature.facts(), "input_statistics": source.statistics()["x"], "seed": 0}
    with torch.random.fork_rng():
        torch.manual_seed(hidden)
        facts["model"] = registry.build("model", "mlp", {"hidden": [hidden]}, facts)
        task: Any = registry.build("task", "classification", {}, facts)
        optimizer = torch.optim.Adam(task.parameters(), lr=0.02)
        batch = source.split("train").fetch(np.arange(400))
        for _ in range(steps):
            optimizer.zero_grad()
            next(task.step(batch)).value.backward()
            optimizer.step()
    return task.eval()


def outputs(task: Task, source: Any, split: str) -> dict[str, np.ndarray]:
    return evaluate(task, source.split(split), 256, CPU)[0]


def comparison(task: Any, source: Any, others: dict[str, Task], **options: Any) -> Comparison | None:
    task.compared = lambda: others
    found = outputs(task, source, "test")
    return compare(task, source, found, task.scores(found), metric="accuracy", batch_size=256, device=CPU, **options)


def test_without_others_there_is_nothing_to_compare(source: Any) -> None:
    assert comparison(trained(source, 8), source, {}) is None


@pytest.mark.parametrize("calibrate", [True, False])
def test_each_is_judged_on_the_test_rows_with_a_temperature_of_its_own(source: Any, calibrate: bool) -> None:
    student, teacher = trained(source, 8), trained(source, 32)
    found = comparison(student, source, {"teacher (runs/big/1)": teacher}, calibrate=calibrate)
    assert found is not None and found.diversity is None and found.out_of_bag is None
    own, other = found.models
    assert (own.name, other.name) == ("this model", "teacher (runs/big/1)")
    test, val = outputs(teacher, source, "test"), outputs(teacher, source, "val")
    temperature = fit_temperature(val["logits"], val["y"]) if calibrate else 1.0
    expected = teacher.scores({"logits": test["logits"] / temperature, "y": test["y"]})
    assert other.scores == expected
    assert other.parameters == 64 * 32 + 32 + 32 * 10 + 10
    assert other.bytes == 4 * (other.parameters + 2)  # and the two numbers of the input's normalisation
    assert own.parameters < other.parameters and own.ms_per_row > 0


def test_a_larger_network_takes_longer(source: Any) -> None:
    small, large = trained(source, 4, steps=1), trained(source, 20_000, steps=0)
    assert measure("large", large, {}, source).ms_per_row > 2 * measure("small", small, {}, source).ms_per_row


def test_what_a_person_reads(source: Any) -> None:
    found = comparison(trained(source, 8), source, {"teacher": trained(source, 16)})
    assert found is not None
    first, second = found.lines()
    accuracy = found.models[1].scores["accuracy"].value
    assert first.startswith("this model  accuracy 0.") and "650 parameters" not in first
    assert second.startswith(f"teacher     accuracy {accuracy:.4f}  loss ") and second.endswith("ms a row")
    page = compared(found, kind="classification")
    assert page["titles"] == ["Accuracy", "Log-loss"] and page["members"] == 0 and page["sentences"] == []
    assert [row["name"] for row in page["models"]] == ["this model", "teacher"]
    plain = found.to_dict()
    assert plain["models"][1]["scores"]["accuracy"]["value"] == accuracy and plain["diversity"] is None


def test_sizes_in_words() -> None:
    assert [in_bytes(n) for n in (999, 1000, 999_949, 1_000_000)] == ["999 B", "1.0 kB", "999.9 kB", "1.0 MB"]


def test_a_score_that_is_not_defined_leaves_a_gap(source: Any) -> None:
    found = comparison(trained(source, 8), source, {"other": trained(source, 8)})
    assert found is not None
    bare = Comparison((found.models[0], type(found.models[1])("other", {}, 1, 4, 0.1)), "accuracy")
    assert compared(bare, kind="classification")["models"][1]["scores"][0] == {"value": "–", "interval": ""}
    assert bare.lines()[1].startswith("other ")


def test_members_of_an_ensemble_are_compared_as_they_vote(source: Any) -> None:
    """Their disagreement is that of the calibrated answers."""
    members = [trained(source, 8, steps=20), trained(source, 12, steps=40)]
    facts = {**source.signature.facts(), "splits": source.splits, "seed": 0}
    task: Any = registry.build(
        "task", "ensemble", {"members": 2}, {**facts, "make_task": lambda number, model, of: members[number]}
    )
    found = outputs(task, source, "test")
    result = compare(task, source, found, task.scores(found), metric="accuracy", batch_size=256, device=CPU)
    assert result is not None and result.diversity is not None and result.out_of_bag is None
    answers: list[Tensor] = [torch.from_numpy(outputs(member, source, "test")["logits"]) for member in members]
    agreed = float((answers[0].argmax(1) == answers[1].argmax(1)).double().mean())
    assert result.diversity.numbers["agreed"] == pytest.approx(agreed)
    assert compared(result, True)["members"] == 2
    assert result.lines()[3].startswith("all 2 members agree on")
