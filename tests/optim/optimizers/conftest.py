"""A moving bowl in float64 that every optimizer of this folder runs down for 200 steps."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

STEPS = 200


def start() -> Tensor:
    """(4, 3) weights."""
    return torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def gradient(w: Tensor, step: int) -> Tensor:
    """Of a bowl that moves, so that momentum and second moments keep changing."""
    return torch.linspace(0.1, 2, 12, dtype=torch.float64).view(4, 3) * (w - torch.sin(torch.tensor(step / 10.0)))


def run(make: Callable[[list[dict[str, object]]], torch.optim.Optimizer]) -> Tensor:
    """Weights after 200 steps of the optimizer that ``make`` builds over one group."""
    w = nn.Parameter(start())
    optimizer = make([{"params": [w]}])
    for step in range(STEPS):
        w.grad = gradient(w.detach(), step)
        optimizer.step()
    return w.detach()


@pytest.fixture(name="start")
def start_fixture() -> Callable[[], Tensor]:
    return start


@pytest.fixture(name="gradient")
def gradient_fixture() -> Callable[[Tensor, int], Tensor]:
    return gradient


@pytest.fixture(name="run")
def run_fixture() -> Callable[..., Tensor]:
    return run
