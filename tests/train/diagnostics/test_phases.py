"""The losses of a step one by one, each with its own gradients only."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lamplighter.data.source import Batch
from lamplighter.tasks.base import Loss, Task
from lamplighter.train.diagnostics.phases import backward, norm, phases

Make = Callable[..., Any]


class Two(Task):
    """Two networks; the second loss reaches both."""

    optimizers = ("left", "right")

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.left, self.right = nn.Linear(4, 3), nn.Linear(3, 1)
        self.left.bias.requires_grad_(False)
        self.types: list[torch.dtype] = []

    def step(self, batch: Batch) -> Iterator[Loss]:
        hidden: Tensor = self.left(batch["x"])
        self.types.append(hidden.dtype)
        yield Loss(hidden.square().mean().float(), 1, "left")
        yield Loss(self.right(self.left(batch["x"])).square().mean().float(), 1, "right")

    def parameters_of(self, optimizer: str) -> Iterator[tuple[str, nn.Parameter]]:
        for name, parameter in getattr(self, optimizer).named_parameters():
            yield f"{optimizer}.{name}", parameter


BATCH = {"x": torch.randn(8, 4, generator=torch.Generator().manual_seed(0))}


def test_each_loss_leaves_its_own_gradients_alone() -> None:
    task = Two()
    seen = []
    for loss in phases(task, BATCH):
        layers = backward(task, loss)
        assert {name: [each for each, _ in members] for name, members in layers.items()} == (
            {"left": ["left.weight"]} if loss.optimizer == "left" else {"right": ["right.weight", "right.bias"]}
        ), "trained parameters of the loss's optimizer"
        seen.append(task.left.weight.grad.clone())
    (expected,) = torch.autograd.grad(task.right(task.left(BATCH["x"])).square().mean(), [task.left.weight])
    torch.testing.assert_close(seen[1], expected)
    (expected,) = torch.autograd.grad(task.left(BATCH["x"]).square().mean(), [task.left.weight])
    torch.testing.assert_close(seen[0], expected)


def test_the_precision_is_entered_for_each_pass() -> None:
    entered: list[str] = []

    class Context(contextlib.AbstractContextManager[None]):
        def __enter__(self) -> None:
            entered.append("in")

        def __exit__(self, *_: object) -> None:
            entered.append("out")

    assert len(list(phases(Two(), BATCH, Context()))) == 2
    assert entered == ["in", "out"] * 3, "two losses and the end"
    task = Two()
    list(phases(task, BATCH, torch.autocast("cpu", dtype=torch.bfloat16)))
    assert task.types == [torch.bfloat16]


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_norms_neither_vanish_nor_overflow(size: float) -> None:
    tensors = [torch.tensor([3.0 * size]), torch.tensor([[4.0 * size, 0.0]])]
    assert norm(tensors) == pytest.approx(5 * size, rel=1e-6)
    assert norm([]) == 0.0
