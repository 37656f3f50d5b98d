"""A sound recipe passes; each kind of mistake is found by the check that is there for it, and nothing is touched."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from torch import nn

import lamplighter
from lamplighter.checkup.examine import examine
from lamplighter.checkup.result import Checkup
from lamplighter.core import registry
from lamplighter.core.errors import TrainingError
from lamplighter.core.recipe import Recipe
from lamplighter.core.registry import FromData
from lamplighter.run import build_source, fit
from lamplighter.tasks.classification import Classification

Make = Callable[..., Any]


def test_a_sound_recipe_passes(sound: Checkup, levels: Make) -> None:
    assert sound.ok
    names = ["splits", "classes", "targets", "one batch", "gradients", "dead units", "learning rate", "learning"]
    assert levels(sound) == dict.fromkeys(names, "ok")
    assert sound.data["rows"] == {"train": 420, "val": 90, "test": 90}
    assert sum(sound.data["classes"].values()) == 420
    assert sound.data["baseline"]["loss"] == pytest.approx(1.0986, abs=0.02)
    assert sound.model["parameters"] == 4 * 32 + 32 + 32 * 3 + 3
    assert [rate.verdict for rate in sound.rates.rates] == ["diverged", "good", "too slow"]
    assert len(sound.schedule[0]) == 5 * 14 and max(sound.schedule[0]) == pytest.approx(0.01)
    assert 0 < sound.cost.step_seconds < sound.cost.epoch_seconds < sound.cost.total_seconds
    assert sound.cost.weight_bytes >= 4 * sound.model["parameters"]
    assert sound.cost.optimizer_bytes >= 8 * sound.model["parameters"]
    plain = json.loads(json.dumps(sound.to_dict(), allow_nan=False))
    assert plain["ok"] is True and len(plain["checks"]) == len(names)


def test_shuffled_labels_are_wrong(table: Make, levels: Make) -> None:
    found = examine(table("shuffled"), progress=False)
    assert not found.ok
    assert levels(found)["learning"] == "wrong"
    assert levels(found)["one batch"] != "wrong", "noise can be learned by heart; that is why there is another check"
    assert found.curve.chosen is None and levels(found)["learning rate"] == "look"


def test_rows_in_two_splits_are_wrong(table: Make, levels: Make) -> None:
    found = examine(table("twice"), progress=False)
    assert levels(found)["splits"] == "wrong"
    assert "lr" not in str(found.checks[0]), "what is wrong stands first"
    assert found.checks[0].level == "wrong"


@pytest.mark.parametrize("kind, name", [("rare", "classes"), ("uneven", "classes"), ("conflict", "targets")])
def test_what_is_conspicuous_in_the_data_is_worth_a_look(kind: str, name: str, table: Make, levels: Make) -> None:
    found = examine(table(kind), progress=False)
    assert levels(found)[name] == "look"


@pytest.mark.parametrize("lr, level", [(50.0, "wrong"), (1e-5, "look"), ("auto", "ok")])
def test_the_recipes_rate_is_held_against_the_range_test(lr: Any, level: str, table: Make, levels: Make) -> None:
    train = {"optimizer": {"name": "adamw", "lr": lr}, "epochs": 5, "precision": "fp32"}
    found = examine(table(train=train), progress=False)
    assert levels(found)["learning rate"] == level
    assert levels(found)["learning"] == "ok", "learning is tried at the rate that was found"
    peak = found.curve.chosen if lr == "auto" else lr
    assert max(found.schedule[0]) == pytest.approx(peak)
    assert found.recipe["train"]["optimizer"]["lr"] == lr


class Sunk(nn.Sequential):
    """Twenty layers of sigmoids: gradients vanish on the way."""

    def __init__(self, in_features: Annotated[int, FromData], num_classes: Annotated[int, FromData]) -> None:
        hidden = [part for _ in range(20) for part in (nn.Linear(16, 16), nn.Sigmoid())]
        super().__init__(nn.Linear(in_features, 16), nn.Sigmoid(), *hidden, nn.Linear(16, num_classes))


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Components of one's own for the length of a test; no other test must find them."""
    monkeypatch.setattr(registry, "_USER", {})
    lamplighter.register("model", "sunk")(Sunk)
    lamplighter.register("task", "backwards")(Backwards)


def test_a_network_that_cannot_train(own: None, table: Make, levels: Make) -> None:
    found = examine(table(model={"name": "sunk"}), progress=False)
    assert not found.ok
    assert levels(found)["one batch"] == "wrong"
    assert levels(found)["gradients"] == "look" and "vanish" in str(found.checks)


def test_batch_normalisation_with_small_batches(table: Make, levels: Make) -> None:
    recipe = table(model={"name": "mlp", "norm": "batch"}, train={"accumulate": 4, "precision": "fp32", "epochs": 1})
    recipe = recipe.with_(data=recipe.data.replace(batch_size=4))
    found = examine(recipe, progress=False)
    texts = [check.text for check in found.checks if check.name == "batch normalisation"]
    assert len(texts) == 2 and "4 rows at a time" in str(texts) and "train.accumulate 4" in str(texts)


class Backwards(Classification):
    """Learns to be wrong."""

    def step(self, batch: Any) -> Any:
        for loss in super().step(batch):
            loss.value = -loss.value
            yield loss


def test_a_loss_with_the_wrong_sign(own: None, table: Make, levels: Make) -> None:
    found = examine(table(task={"name": "backwards"}), progress=False)
    assert levels(found)["one batch"] == "wrong"
    assert "no lower bound" in str(found.checks)


def test_the_test_split_is_not_evaluated(table: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its inputs are read to look for equal rows; no network ever sees one of them."""
    seen: list[torch.Tensor] = []
    recipe = table()

    source = build_source(recipe)
    rows = source.split("test")
    held_back = rows.fetch(np.arange(len(rows)))["x"]
    forward = Classification.evaluate

    def listen(self: Classification, batch: Any) -> Any:
        seen.append(batch["x"].clone())
        return forward(self, batch)

    monkeypatch.setattr(Classification, "evaluate", listen)
    examine(recipe, progress=False)
    shown = torch.cat(seen)
    assert len(shown) > 100
    assert not (shown[:, None] == held_back[None]).all(dim=2).any()


def test_nothing_is_written_and_generators_stand_where_they_stood(table: Make, somewhere: Path) -> None:
    drawn = torch.get_rng_state()
    examine(table(), progress=False)
    assert list(somewhere.iterdir()) == []
    assert torch.equal(torch.get_rng_state(), drawn)


def test_a_run_after_an_examination_is_the_run_without(table: Make, tmp_path: Path) -> None:
    recipe = table()
    examine(recipe, progress=False)
    after = fit(recipe, out=tmp_path / "after", progress=False, judge=False)
    alone = fit(recipe, out=tmp_path / "alone", progress=False, judge=False)
    one, other = after.task().state_dict(), alone.task().state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_regression_and_data_that_cannot_be_trained_on(tmp_path: Path, levels: Make) -> None:
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(400, 2, generator=draws)
    y = x @ torch.tensor([2.0, -1.0]) + 0.1 * torch.randn(400, generator=draws)
    lines = ["a,b,y", *(f"{a:.4f},{b:.4f},{c:.4f}" for (a, b), c in zip(x.tolist(), y.tolist()))]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    document = {
        "name": "line",
        "threads": 1,
        "data": {"name": "table", "path": str(tmp_path / "t.csv"), "target": "y", "batch_size": 32},
        "model": {"name": "mlp"},
        "task": {"name": "regression"},
        "train": {"precision": "fp32", "optimizer": {"name": "adamw", "lr": 0.01}},
    }
    found = examine(Recipe.parse(json.dumps(document)), progress=False)
    assert found.ok and "classes" not in levels(found)
    assert found.data["classes"] == {} and found.data["baseline"]["rmse"] == pytest.approx(2.2, rel=0.2)
    mixed = {"optimizer": {"name": "adamw", "lr": "auto"}, "optimizers": {"main": {"name": "sgd", "lr": 0.1}}}
    with pytest.raises(TrainingError, match="all of them to auto, or none"):
        examine(Recipe.parse(json.dumps({**document, "train": mixed})), progress=False)
