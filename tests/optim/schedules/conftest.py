"""Learning rates of torch's own schedulers, step by step, for a base rate of 1."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

Make = Callable[[torch.optim.Optimizer], LRScheduler]


def of_torch(make: Make, steps: int, every: int = 1) -> list[float]:
    """The rate used in each step.

    Args:
        make: builds the scheduler on an optimizer of rate 1.
        steps: how many.
        every: optimizer steps between two steps of the scheduler.
    """
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    schedule = make(optimizer)
    values = []
    for step in range(steps):
        values.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if step + 1 < steps and (step + 1) % every == 0:
            schedule.step()
    return values


@pytest.fixture(name="of_torch")
def of_torch_fixture() -> Callable[..., list[float]]:
    return of_torch
