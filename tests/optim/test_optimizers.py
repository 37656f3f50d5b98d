"""AdamW and SGD against their recurrences written out, over 200 steps in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lamplighter.core import registry
from lamplighter.core.errors import LamplighterError
from lamplighter.optim.optimizers import adamw, sgd

STEPS = 200


def start() -> Tensor:
    return torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def gradient(w: Tensor, step: int) -> Tensor:
    """Of a bowl that moves, so that momentum and second moments keep changing."""
    return torch.linspace(0.1, 2, 12, dtype=torch.float64).view(4, 3) * (w - torch.sin(torch.tensor(step / 10.0)))


def run(optimizer: torch.optim.Optimizer, w: nn.Parameter) -> Tensor:
    for step in range(STEPS):
        w.grad = gradient(w.detach(), step)
        optimizer.step()
    return w.detach()


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize(("b1", "b2"), [(0.9, 0.999), (0.0, 0.5)])
def test_adamw_is_its_recurrence(decay: float, b1: float, b2: float) -> None:
    w, m, v = start(), torch.zeros(4, 3).double(), torch.zeros(4, 3).double()
    for step in range(STEPS):
        g = gradient(w, step)
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        m_hat, v_hat = m / (1 - b1 ** (step + 1)), v / (1 - b2 ** (step + 1))
        w = w - 0.01 * (decay * w + m_hat / (v_hat.sqrt() + 1e-6))
    parameter = nn.Parameter(start())
    ours = run(adamw([{"params": [parameter]}], 0.01, decay, (b1, b2), 1e-6), parameter)
    torch.testing.assert_close(ours, w, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.0, True), (0.9, False), (0.9, True)])
def test_sgd_is_its_recurrence(decay: float, momentum: float, nesterov: bool) -> None:
    w, m = start(), torch.zeros(4, 3).double()
    for step in range(STEPS):
        g = gradient(w, step) + decay * w
        m = momentum * m + g
        w = w - 0.05 * (g + momentum * m if nesterov else m)
    parameter = nn.Parameter(start())
    ours = run(sgd([{"params": [parameter]}], 0.05, momentum, nesterov, decay), parameter)
    torch.testing.assert_close(ours, w, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_updates_run_in_one_kernel_on_the_cpu(name: str) -> None:
    optimizer = registry.build("optimizer", name, {}, {"params": [{"params": [nn.Parameter(start())]}]})
    assert optimizer.param_groups[0]["fused"] is True


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("adamw", {"lr": 0}),
        ("adamw", {"betas": [0.9]}),
        ("adamw", {"betas": [0.9, 1.0]}),
        ("adamw", {"weight_decay": -1}),
        ("sgd", {"momentum": 1.0}),
        ("sgd", {"nesterov": "no"}),
    ],
)
def test_bad_parameters_are_refused(name: str, params: dict[str, Any]) -> None:
    with pytest.raises(LamplighterError, match=next(iter(params))):
        registry.build("optimizer", name, params, {"params": [{"params": [nn.Parameter(start())]}]})


def test_a_frozen_groups_rate_is_its_own() -> None:
    first, second = nn.Parameter(start()), nn.Parameter(start())
    optimizer = adamw([{"params": [first]}, {"params": [second], "lr": 0.5}], lr=0.1)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.5]
