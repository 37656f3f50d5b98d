"""The floor of a loss on a batch equals the closed form, where there is one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lamplighter.data.source import Batch
from lamplighter.tasks.base import Loss, Task
from lamplighter.train.diagnostics.loss_floor import conflicting_rows, loss_floor

Make = Callable[..., Any]


class Floored(Task):
    """Any loss of (output, y)."""

    def __init__(self, model: nn.Module, loss: Callable[..., Any]) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def step(self, batch: Batch) -> Iterator[Loss]:
        yield Loss(self.loss(self.model(batch["x"]), batch["y"]), len(batch["y"]))


def net(outputs: int) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, outputs))


X = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
CLASSES = torch.randint(0, 5, (32,), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("smoothing", [0.1, 0.4])
def test_label_smoothing_leaves_the_entropy_of_the_smoothed_target(smoothing: float) -> None:
    task = Floored(net(5), lambda out, y: F.cross_entropy(out, y, label_smoothing=smoothing))
    at, off = 1 - smoothing + smoothing / 5, smoothing / 5
    entropy = -(at * math.log(at) + 4 * off * math.log(off))
    assert loss_floor(task, {"x": X, "y": CLASSES}) == pytest.approx(entropy, abs=2e-4)


def test_soft_labels_leave_their_entropy() -> None:
    soft = torch.rand(32, 5, generator=torch.Generator().manual_seed(2)).softmax(1)
    entropy = float(-(soft * soft.log()).sum(1).mean())
    assert loss_floor(Floored(net(5), F.cross_entropy), {"x": X, "y": soft}) == pytest.approx(entropy, abs=2e-4)


def test_hard_labels_leave_nothing() -> None:
    floor = loss_floor(Floored(net(5), F.cross_entropy), {"x": X, "y": CLASSES})
    assert floor is not None and 0 <= floor < 0.01


def test_equal_inputs_with_different_targets_leave_their_disagreement() -> None:
    """Four rows are alike with classes 0, 0, 0, 1, the others are not: a quarter of the entropy of (3/4, 1/4)."""
    x, y = X[:16].clone(), CLASSES[:16].clone()
    x[1:4], y[:4] = x[0], torch.tensor([0, 0, 0, 1])
    batch = {"x": x, "y": y}
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert loss_floor(Floored(net(5), F.cross_entropy), batch) == pytest.approx(entropy / 4, abs=5e-3)
    assert conflicting_rows(batch) == 4
    assert conflicting_rows({"x": X, "y": CLASSES}) == 0


def test_one_answer_for_all_rows_leaves_the_entropy_of_the_classes_or_the_variance() -> None:
    shares = torch.bincount(CLASSES, minlength=5) / 32
    entropy = float(-(shares * shares.log()).sum())
    found = loss_floor(Floored(net(5), F.cross_entropy), {"x": X, "y": CLASSES}, constant=True)
    assert found == pytest.approx(entropy, rel=1e-4)
    y = torch.randn(32, 2, generator=torch.Generator().manual_seed(3))
    found = loss_floor(Floored(net(2), F.mse_loss), {"x": X, "y": y}, constant=True)
    assert found == pytest.approx(float(y.var(dim=0, correction=0).mean()), rel=1e-4)


def test_squared_errors_leave_the_variance_of_rows_that_are_alike() -> None:
    x, y = X.clone(), torch.randn(32, 2, generator=torch.Generator().manual_seed(3))
    x[8:16] = x[0]
    alike = torch.cat([y[:1], y[8:16]])
    expected = float((alike - alike.mean(0)).square().sum() / y.numel())
    batch = {"x": x, "y": y}
    assert loss_floor(Floored(net(2), F.mse_loss), batch) == pytest.approx(expected, rel=1e-4)
    assert conflicting_rows(batch) == 9


def test_a_loss_with_the_wrong_sign_has_no_floor() -> None:
    for loss in (lambda out, y: -F.cross_entropy(out, y), lambda out, y: -F.mse_loss(out[:, 0], y.float())):
        assert loss_floor(Floored(net(5), loss), {"x": X, "y": CLASSES}) == -math.inf


def test_tasks_of_another_kind_have_no_known_floor() -> None:
    class Twice(Floored):
        def step(self, batch: Batch) -> Iterator[Loss]:
            yield Loss(self.model(torch.cat([batch["x"], batch["x"]])).square().mean(), 1)

    class Two(Floored):
        optimizers = ("main", "other")

    batch = {"x": X, "y": CLASSES}
    assert loss_floor(Twice(net(5), F.cross_entropy), batch) is None
    assert loss_floor(Two(net(5), F.cross_entropy), batch) is None
    task = Floored(net(5), F.cross_entropy)
    del task.model
    task.network = net(5)  # type: ignore[assignment]
    assert loss_floor(task, batch) is None


def test_the_task_is_left_as_it_was(everything: Make) -> None:
    for wrong in (1.0, -1.0):
        task = Floored(net(5), lambda out, y, wrong=wrong: wrong * F.cross_entropy(out, y)).eval()
        model, before = task.model, everything(task)
        loss_floor(task, {"x": X, "y": CLASSES})
        assert task.model is model
        assert everything(task) == before


class Pair(nn.Module):
    """A network of two inputs, as those of texts are."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return self.layer(x) * other[:, None]


class OfPairs(Floored):
    """Its network is shown the target of the row, as a decoder is, or nothing new; or its loss is drawn."""

    def __init__(self, shown: str) -> None:
        super().__init__(Pair(), F.cross_entropy)
        self.shown = shown

    def step(self, batch: Batch) -> Iterator[Loss]:
        y = batch["y"]
        other = y.float() if self.shown == "target" else torch.ones(len(y))
        chosen = torch.rand(len(y)) < (0.5 if self.shown == "noise" else 1.0)
        yield Loss(self.loss(self.model(batch["x"], other)[chosen], y[chosen]), len(y))


def test_a_network_of_two_inputs() -> None:
    """Rows that differ only in what else the network is shown may get answers of their own."""
    x, y = X[:16].clone(), CLASSES[:16].clone()
    x[1:4], y[:4] = x[0], torch.tensor([0, 0, 0, 1])
    batch = {"x": x, "y": y}
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert loss_floor(OfPairs("nothing new"), batch) == pytest.approx(entropy / 4, abs=5e-3)
    assert loss_floor(OfPairs("target"), batch) == pytest.approx(0, abs=5e-3)
    shares = y.bincount() / 16
    constant = float(-(shares * shares.log())[shares > 0].sum())
    assert loss_floor(OfPairs("target"), batch, constant=True) == pytest.approx(constant, rel=1e-3)


def test_a_loss_that_is_drawn_and_very_many_answers_have_no_known_floor() -> None:
    drawn = OfPairs("noise")
    with torch.no_grad():
        for parameter in drawn.parameters():
            parameter.mul_(1e-6)  # equal answers for all rows: at the start no draw makes a difference
    assert loss_floor(drawn, {"x": X, "y": CLASSES}) is None
    assert loss_floor(Floored(net(40_000), F.cross_entropy), {"x": X, "y": CLASSES}) is None
