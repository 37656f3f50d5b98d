"""Sound networks learn a batch by heart; dead ones, and losses with the wrong sign, are told apart."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lamplighter.core.recipe import Recipe
from lamplighter.data.source import Batch
from lamplighter.run import build_source, build_task
from lamplighter.tasks.base import Loss, Task
from lamplighter.train.diagnostics.one_batch import overfit_one_batch

Make = Callable[..., Any]

MODELS = [
    {"name": "mlp"},
    {"name": "mlp", "hidden": []},
    {"name": "mlp", "hidden": [64] * 20},
    {"name": "mlp", "norm": "batch", "dropout": 0.5},
    {"name": "cnn", "width": 8, "dropout": 0.3},
]


def digits(model: dict[str, Any], smoothing: float, seed: int = 0) -> tuple[Task, Batch]:
    """A task on scikit-learn's digits, and its first 32 training rows."""
    parts = {"data": {"name": "digits"}, "model": model}
    recipe = Recipe.parse(
        json.dumps(
            {"name": "x", "seed": seed, **parts, "task": {"name": "classification", "label_smoothing": smoothing}}
        )
    )
    source = build_source(recipe)
    return build_task(recipe, source), source.split("train").fetch(np.arange(32))


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_networks_that_are_sound_pass(model: dict[str, Any]) -> None:
    """Linear, deep, with dropout, with BatchNorm; with label smoothing the loss stays near 0.5003 and that is known."""
    for smoothing in (0.0, 0.1):
        found = overfit_one_batch(*digits(model, smoothing))
        assert found.verdict == "ok", (found.reason, smoothing)
        assert found.after["accuracy"] == 1.0
        assert found.floor == pytest.approx(0.5003 if smoothing else 0.0, abs=3e-3)


def test_a_network_that_gradients_do_not_reach_fails(deep: Make, noise: Make) -> None:
    found = overfit_one_batch(deep("sigmoid"), noise(32))
    assert found.verdict == "not learned" and found.covered < 0.3
    assert found.losses[-1] == pytest.approx(found.constant, abs=0.02), "it learned which classes there are, no more"
    assert "gradients do not reach" in found.reason


def test_a_network_that_is_too_small_learns_a_part(classify: Make, noise: Make) -> None:
    torch.manual_seed(0)
    found = overfit_one_batch(classify(nn.Sequential(nn.Linear(64, 1), nn.Linear(1, 10))), noise(32))
    assert found.verdict == "partly" and 0.3 < found.covered < 0.9
    assert "too small" in found.reason


def test_inputs_that_are_lost_fail(classify: Make, noise: Make) -> None:
    class Blind(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x * 0)

    assert overfit_one_batch(classify(Blind()), noise(32)).verdict == "not learned"


def test_a_dead_network_is_called_dead(classify: Make, noise: Make) -> None:
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x) * 0

    found = overfit_one_batch(classify(Cut()), noise(32))
    assert (found.verdict, found.reason) == ("dead", "every gradient is 0: the loss does not depend on the weights")


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def test_a_loss_with_the_wrong_sign_is_noticed(classify: Make, noise: Make) -> None:
    found = overfit_one_batch(classify(net(), sign=-1.0), noise(32))
    assert found.verdict == "wrong sign" and found.floor == -np.inf
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["floor"] is None


def test_a_bounded_loss_with_the_wrong_sign_is_noticed_by_the_metric(classify: Make, noise: Make) -> None:
    """1 - (1 - p): the probability of the truth is made small; the loss has a floor and reaches it."""

    class Bounded(type(classify(net()))):  # type: ignore[misc]
        def step(self, batch: Batch) -> Iterator[Loss]:
            truth = self.model(batch["x"]).softmax(1).gather(1, batch["y"][:, None])
            yield Loss(truth.mean(), len(truth))

    found = overfit_one_batch(Bounded(net()), noise(32))
    assert found.verdict == "wrong sign" and found.covered > 0.9
    assert "the metric 'accuracy' went from" in found.reason or "the metric 'loss' went from" in found.reason


def test_a_network_that_explodes_is_noticed(classify: Make, noise: Make) -> None:
    model = net()
    model[0].weight.data *= 1e38
    assert overfit_one_batch(classify(model), noise(32)).verdict == "not finite"


def test_conflicting_targets_raise_the_floor_and_are_counted(classify: Make, noise: Make) -> None:
    """Half of the rows are each there twice, with two classes: ln 2 for these is the best."""
    batch = noise(32)
    batch["x"][16:24], batch["y"][16:24] = batch["x"][:8], (batch["y"][:8] + 1) % 10
    found = overfit_one_batch(classify(net()), batch)
    assert found.verdict == "ok" and found.conflicts == 16
    assert found.floor == pytest.approx(0.5 * np.log(2), abs=5e-3)


def test_several_optimizers_learn_in_turn(noise: Make) -> None:
    class Players(Task):
        optimizers = ("left", "right")

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.left, self.right = net(), net()

        def step(self, batch: Batch) -> Iterator[Loss]:
            for name in self.optimizers:
                yield Loss(F.cross_entropy(getattr(self, name)(batch["x"]), batch["y"]), 1, name)

        def parameters_of(self, optimizer: str) -> Iterator[tuple[str, nn.Parameter]]:
            yield from getattr(self, optimizer).named_parameters(optimizer)

    found = overfit_one_batch(Players(), noise(16))
    assert (found.verdict, found.floor, found.before) == ("ok", None, {})


def test_the_task_is_left_as_it_was(deep: Make, noise: Make, everything: Make) -> None:
    task = deep("sigmoid norm", depth=3).eval()
    before = everything(task)
    overfit_one_batch(task, noise(32), steps=20)
    assert everything(task) == before
