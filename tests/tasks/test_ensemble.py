"""Ensembles: each member learns as if alone, from its own rows, and the answers are combined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lamplighter.core.errors import DataError, LamplighterError, TrainingError
from lamplighter.core.recipe import Recipe
from lamplighter.metrics import ensembles
from lamplighter.metrics.calibration import softmax
from lamplighter.tasks.ensemble import Ensemble, bootstrap_counts

Build = Callable[..., Any]
Batch = Callable[..., dict[str, Tensor]]


def gradients(module: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def step(task: Any, rows: dict[str, Tensor]) -> Any:
    (loss,) = list(task.step(rows))
    loss.value.backward()
    return loss


@pytest.mark.parametrize("classes", [True, False])
def test_each_member_gets_the_gradient_it_would_get_alone(build: Build, batch: Batch, classes: bool) -> None:
    rows = batch(classes=classes)
    rows["y"][3] = -1 if classes else torch.nan
    together = build("ensemble", classes=classes, members=3)
    twins = build("ensemble", classes=classes, members=3).tasks
    loss = step(together, rows)
    losses = [step(twin, rows) for twin in twins]
    mean = torch.stack([each.value.detach() for each in losses]).mean()
    assert float(loss.value.detach()) == pytest.approx(float(mean), rel=1e-6)
    assert float(loss.weight) == float(losses[0].weight)
    for member, twin in zip(together.tasks, twins):
        ours, theirs = gradients(member), gradients(twin)
        assert ours.keys() == theirs.keys() and ours
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_members_start_from_different_weights_and_the_first_from_the_plain_runs(build: Build) -> None:
    members = build("ensemble", members=4).tasks
    heads = [member.model.head.weight for member in members]
    assert all(not torch.equal(heads[0], head) for head in heads[1:])
    assert torch.equal(heads[0], build("classification").model.head.weight)


@pytest.mark.parametrize("combine", ["soft", "hard"])
def test_the_answer_is_the_vote_of_the_members(build: Build, batch: Batch, combine: str) -> None:
    task = build("ensemble", members=3, combine=combine).eval()
    rows = batch(200)
    rows["y"][7] = -1
    with torch.inference_mode():
        found = task.evaluate(rows)
        each = [member.evaluate(rows)["logits"].numpy() for member in task.tasks]
    expected = ensembles.vote([softmax(z) for z in each], combine)
    assert np.array_equal(found["logits"].argmax(1).numpy(), expected.labels)
    np.testing.assert_allclose(found["logits"].softmax(1).numpy(), expected.probabilities, atol=1e-6)
    assert len(found["y"]) == 199


def test_weights_and_temperatures_reach_the_answer(build: Build, batch: Batch) -> None:
    specs = [{"temperature": 0.5}, {"temperature": 2.0}]
    task = build("ensemble", members=specs, combine="weighted", weights=[3.0, 1.0]).eval()
    with torch.inference_mode():
        found = task.evaluate(batch())["logits"].softmax(1)
        first, second = (member.evaluate(batch())["logits"] for member in task.tasks)
    torch.testing.assert_close(found, 0.75 * (first / 0.5).softmax(1) + 0.25 * (second / 2.0).softmax(1))


def test_numbers_are_averaged_in_their_own_units(build: Build, batch: Batch) -> None:
    facts = {"target_statistics": ([100.0, -5.0], [20.0, 3.0])}
    task = build("ensemble", classes=False, facts=facts, members=2).eval()
    with torch.inference_mode():
        found = task.evaluate(batch(classes=False))["value"]
        each = [member.evaluate(batch(classes=False))["value"] for member in task.tasks]
    torch.testing.assert_close(found, (each[0] + each[1]) / 2)
    assert task.metrics({"value": found.numpy(), "y": found.numpy()})["loss"] == 0


def test_bootstrap_samples_are_as_large_as_the_split_and_fixed() -> None:
    counts = bootstrap_counts(50, 400, seed=3)
    assert (counts.sum(axis=1) == 400).all()
    assert np.array_equal(counts, bootstrap_counts(50, 400, seed=3))
    assert not np.array_equal(counts, bootstrap_counts(50, 400, seed=4))
    out = (counts == 0).mean()
    assert out == pytest.approx((1 - 1 / 400) ** 400, abs=4 * np.sqrt(0.37 * 0.63 / 20_000))
    assert len(np.unique(counts, axis=0)) == 50


def test_a_bagged_member_learns_from_its_own_sample(build: Build, batch: Batch) -> None:
    """Each row weighs as often as it was drawn: sum_r c_r loss_r over the mean size of the samples."""
    task = build("ensemble", members=3, bagging=True)
    twins = build("ensemble", members=3).tasks
    rows = batch(20)
    rows["index"] = torch.arange(20) + 10  # positions within the split, not within the batch
    rows["y"][4] = -1
    loss = step(task, rows)
    drawn = task.counts_MN[:, 10:30] * (rows["y"] >= 0)
    size = drawn.sum() / 3
    assert float(loss.weight) == pytest.approx(float(size))
    for member, twin, counts in zip(task.tasks, twins, drawn):
        logits = twin.model(rows["x"])
        each = nn.functional.cross_entropy(logits, rows["y"], ignore_index=-1, reduction="none")
        ((each * counts).sum() / size).backward()
        for name, gradient in gradients(twin).items():
            torch.testing.assert_close(gradients(member)[name], gradient, rtol=1e-5, atol=1e-6)


def test_bagging_accumulates_to_what_one_large_batch_gives(build: Build, batch: Batch) -> None:
    whole, parts = build("ensemble", members=3, bagging=True), build("ensemble", members=3, bagging=True)
    rows = batch(30)
    loss = step(whole, rows)
    total = 0.0
    cuts = [slice(0, 4), slice(4, 21), *(slice(i, i + 1) for i in range(21, 30))]  # of some rows, few have a copy
    for cut in cuts:
        (piece,) = list(parts.step({name: tensor[cut] for name, tensor in rows.items()}))
        (piece.value * piece.weight).backward()
        total += float(piece.weight)
    assert total == pytest.approx(float(loss.weight))
    for name, gradient in gradients(whole).items():
        torch.testing.assert_close(gradients(parts)[name] / total, gradient, rtol=1e-5, atol=1e-6)


def test_a_batch_that_nobody_drew_owes_a_loss_of_weight_0(build: Build, batch: Batch) -> None:
    task = build("ensemble", members=2, bagging=True)
    unseen = int((task.counts_MN.sum(0) == 0).nonzero()[0])
    rows = {name: tensor[unseen : unseen + 1] for name, tensor in batch(30).items()}
    (loss,) = list(task.step(rows))
    assert loss.weight == 0 and float(loss.value.detach()) == 0
    loss.value.backward()
    assert all(not gradient.any() for gradient in gradients(task).values())


def test_a_single_row_does_not_reach_a_batch_normalisation(build: Build, batch: Batch) -> None:
    normed = {"model": {"name": "mlp", "hidden": [4], "norm": "batch"}}
    task = build("ensemble", members=[normed, {}], bagging=True).train()
    once = int((task.counts_MN == 1).all(0).nonzero()[0])  # both drew it once
    (loss,) = list(task.step({name: tensor[once : once + 1] for name, tensor in batch(30).items()}))
    assert float(loss.weight) == 0.5  # of two members, only the second learned from it
    loss.value.backward()
    first, second = (gradients(member) for member in task.tasks)
    assert len(first) == len(list(task.tasks[0].parameters()))  # all there, for processes that wait for them
    assert not any(gradient.any() for gradient in first.values()) and second["model.head.bias"].any()


def test_bagging_wants_the_position_of_each_row(build: Build, batch: Batch) -> None:
    assert build("ensemble", bagging=True).wants_index and not build("ensemble").wants_index
    rows = batch()
    with pytest.raises(TrainingError, match="needs the position of each row"):
        list(build("ensemble", bagging=True).step({"x": rows["x"], "y": rows["y"]}))
    mixed = {**rows, "y": torch.full((20, 3), 1 / 3)}
    with pytest.raises(TrainingError, match=r"mixed rows \(mixup, cutmix\) do not go together"):
        list(build("ensemble", bagging=True).step(mixed))
    list(build("ensemble").step(mixed))
    with pytest.raises(DataError, match="draws from the training split"):
        build("ensemble", facts={"splits": None}, bagging=True)


def test_members_may_be_of_different_architectures_and_tasks(build: Build, batch: Batch) -> None:
    specs = [{"model": {"name": "mlp", "hidden": [3]}}, {"task": {"name": "classification", "label_smoothing": 0.2}}]
    task = build("ensemble", members=specs, of={"name": "classification", "label_smoothing": 0.1})
    assert [member.model.head.in_features for member in task.tasks] == [3, 5]
    assert [member.criterion.label_smoothing for member in task.tasks] == [0.1, 0.2]
    spec = task.export()
    answer, embedding = spec.module(batch()["x"])
    assert (answer.shape, embedding.shape) == ((20, 3), (20, 8))
    torch.testing.assert_close(answer, task.eval().evaluate(batch())["logits"])
    resolved = task.resolved()["members"]
    assert [member["task"]["label_smoothing"] for member in resolved] == [0.1, 0.2]


def test_ensembles_of_ensembles(build: Build, batch: Batch) -> None:
    inner = {"task": {"name": "ensemble", "members": 2}}
    task = build("ensemble", members=[inner, {}]).eval()
    with torch.inference_mode():
        first, second = (member.evaluate(batch())["logits"].softmax(1) for member in task.tasks)
        torch.testing.assert_close(task.evaluate(batch())["logits"].softmax(1), (first + second) / 2)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"classes": False, "combine": "hard"}, "hard voting needs classes; numbers are averaged"),
        ({"combine": "weighted"}, "weighted needs task.weights"),
        ({"combine": "stacking"}, "stacking is fitted over finished runs"),
        ({"weights": [1.0] * 5}, "soft weighs all members alike"),
        ({"combine": "weighted", "weights": [1.0, 2.0]}, "2 weights for 5 members"),
        ({"bagging": True, "vmap": True}, "bagged members see different rows"),
        ({"vmap": True, "members": [{}, {"model": {"name": "mlp", "hidden": [7]}}]}, "member 2 is not like member 1"),
        ({"members": 1}, "members"),
        ({"members": [{}]}, "members"),
    ],
)
def test_what_does_not_go_together_is_refused(build: Build, params: dict[str, Any], words: str) -> None:
    with pytest.raises(LamplighterError, match=words):
        build("ensemble", **params)


def test_finished_runs_are_not_trained_again(build: Build, batch: Batch) -> None:
    task = build("ensemble", members=[{"run": "runs/a/1"}, {"run": "runs/a/2"}])
    assert list(task.compared()) == ["runs/a/1", "runs/a/2"]
    with pytest.raises(TrainingError, match="was made of finished runs"):
        next(task.step(batch()))


def test_compared_names_are_unique(build: Build) -> None:
    assert list(build("ensemble", members=2).compared()) == ["member 1", "member 2"]
    twice = build("ensemble", members=[{"run": "runs/a/1"}, {"run": "runs/a/1"}])
    assert list(twice.compared()) == ["runs/a/1 (1)", "runs/a/1 (2)"]


def test_a_recipe_is_checked_down_to_the_members() -> None:
    base = "{name: e, data: {name: digits}, model: {name: mlp}, task: {name: ensemble, %s}}"
    recipe = Recipe.parse(base % "of: {name: classification, label_smoothing: 0.1}")
    assert recipe.task.params["members"] == 5
    assert recipe.task.params["of"]["loss"] == "auto"  # defaults are written out
    for text, words in (
        ("of: {name: clasification}", r"task.of.name: unknown task 'clasification' \(did you mean 'classification'"),
        ("of: {name: classification, label_smothing: 1}", r"label_smothing: unknown key \(did you mean"),
        ("members: [{model: {name: mlp, hiden: [3]}}, {}]", r"task.members.0.model.hiden: unknown key"),
        ("members: [{modell: {name: mlp}}, {}]", r"task.members.0.modell: unknown key"),
        ("combine: sofft", "combine"),
    ):
        with pytest.raises(LamplighterError, match=words):
            Recipe.parse(base % text)


def test_members_are_cast_and_moved_together(build: Build) -> None:
    task: Ensemble = build("ensemble", members=2)
    assert {p.dtype for p in task.double().parameters()} == {torch.float64}
    assert len({name.split(".")[1] for name, _ in task.named_parameters()}) == 2
