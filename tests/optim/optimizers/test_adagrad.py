"""Adagrad, Adadelta and RMSprop against recurrences written out from the papers, over 200 steps in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lamplighter.optim.optimizers.adagrad import adadelta, adagrad, rmsprop

Bowl = Callable[[Tensor, int], Tensor]


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize(("lr_decay", "initial"), [(0.0, 0.0), (0.05, 0.4)])
def test_adagrad(
    start: Callable[[], Tensor],
    gradient: Bowl,
    run: Callable[..., Tensor],
    lr_decay: float,
    initial: float,
    decay: float,
) -> None:
    w, s = start(), torch.full((4, 3), initial, dtype=torch.float64)
    for step in range(200):
        g = gradient(w, step) + decay * w
        s = s + g * g
        w = w - 0.1 / (1 + step * lr_decay) * g / (s.sqrt() + 1e-6)
    ours = run(lambda groups: adagrad(groups, 0.1, decay, lr_decay, initial, 1e-6))
    torch.testing.assert_close(ours, w, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("rho", [0.9, 0.5])
def test_adadelta(
    start: Callable[[], Tensor], gradient: Bowl, run: Callable[..., Tensor], rho: float, decay: float
) -> None:
    w, s, u = start(), torch.zeros(4, 3).double(), torch.zeros(4, 3).double()
    for step in range(200):
        g = gradient(w, step) + decay * w
        s = rho * s + (1 - rho) * g * g
        d = (u + 1e-5).sqrt() / (s + 1e-5).sqrt() * g
        u = rho * u + (1 - rho) * d * d
        w = w - 0.7 * d
    ours = run(lambda groups: adadelta(groups, 0.7, decay, rho, 1e-5))
    torch.testing.assert_close(ours, w, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("momentum", [0.0, 0.8])
@pytest.mark.parametrize("centered", [False, True])
def test_rmsprop(
    start: Callable[[], Tensor],
    gradient: Bowl,
    run: Callable[..., Tensor],
    centered: bool,
    momentum: float,
    decay: float,
) -> None:
    w, v, mean, m = start(), *(torch.zeros(4, 3).double() for _ in range(3))
    for step in range(200):
        g = gradient(w, step) + decay * w
        v, mean = 0.95 * v + 0.05 * g * g, 0.95 * mean + 0.05 * g
        m = momentum * m + g / ((v - mean * mean if centered else v).sqrt() + 1e-6)
        w = w - 0.01 * m
    ours = run(lambda groups: rmsprop(groups, 0.01, decay, 0.95, momentum, centered, 1e-6))
    torch.testing.assert_close(ours, w, rtol=1e-11, atol=1e-12)


def test_adagrad_runs_in_one_kernel_on_the_cpu() -> None:
    assert adagrad([{"params": [nn.Parameter(torch.zeros(2))]}]).param_groups[0]["fused"] is True
