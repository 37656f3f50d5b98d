"""What every optimizer must hold: it descends, goes on exactly where it was saved, and leaves alone what it should."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lamplighter.core import registry

CURVATURE = torch.tensor([[0.5, 1.0], [2.0, 0.1]])


@pytest.fixture(params=registry.names("optimizer"))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def start() -> nn.Parameter:
    return nn.Parameter(torch.tensor([[1.0, -2.0], [0.5, 3.0]]))


def build(name: str, *groups: dict[str, Any]) -> torch.optim.Optimizer:
    optimizer: torch.optim.Optimizer = registry.build("optimizer", name, {}, {"params": list(groups)})
    return optimizer


def quadratic(w: Tensor) -> Tensor:
    """Half of the sum of curvature * w^2; smallest at 0."""
    return (CURVATURE * w.square()).sum() / 2


def steps(optimizer: torch.optim.Optimizer, w: nn.Parameter, count: int) -> None:
    for _ in range(count):
        optimizer.zero_grad()
        quadratic(w).backward()
        optimizer.step()


def test_steps_reduce_a_quadratic(name: str) -> None:
    w = start()
    optimizer = build(name, {"params": [w]})
    before = quadratic(w).item()
    steps(optimizer, w, 1)
    assert quadratic(w).item() < before
    steps(optimizer, w, 100)
    assert quadratic(w).item() < 0.9 * before


def test_goes_on_bit_for_bit_from_a_saved_state(name: str) -> None:
    w = start()
    optimizer = build(name, {"params": [w]})
    steps(optimizer, w, 5)
    state = copy.deepcopy(optimizer.state_dict())
    resumed_w = nn.Parameter(w.detach().clone())
    resumed = build(name, {"params": [resumed_w]})
    resumed.load_state_dict(state)
    steps(optimizer, w, 5)
    steps(resumed, resumed_w, 5)
    assert torch.equal(resumed_w, w)


def test_the_learning_rate_can_be_scheduled(name: str) -> None:
    w = start()
    optimizer = build(name, {"params": [w]})
    for group in optimizer.param_groups:
        assert group["lr"] > 0
        group["lr"] = 0.0
    steps(optimizer, w, 3)
    assert torch.equal(w, start())


def test_a_group_without_decay_does_not_shrink(name: str) -> None:
    w = start()
    optimizer = build(name, {"params": [w], "weight_decay": 0.0})
    w.grad = torch.zeros_like(w)
    optimizer.step()
    assert torch.equal(w, start())


def test_a_parameter_without_gradient_stays(name: str) -> None:
    w, untouched = start(), start()
    optimizer = build(name, {"params": [w, untouched]})
    steps(optimizer, w, 3)
    assert torch.equal(untouched, start())
    assert not torch.equal(w, start())
