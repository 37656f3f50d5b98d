"""Adamax, NAdam and RAdam against recurrences written out from the papers, over 200 steps in float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lamplighter.optim.optimizers.adam_variants import adamax, nadam, radam

LR, EPS = 0.01, 1e-7
BETAS = [(0.9, 0.999), (0.8, 0.9)]
Bowl = Callable[[Tensor, int], Tensor]


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("betas", BETAS)
def test_adamax(
    start: Callable[[], Tensor], gradient: Bowl, run: Callable[..., Tensor], betas: tuple[float, float], decay: float
) -> None:
    (b1, b2), w, m, u = betas, start(), torch.zeros(4, 3).double(), torch.zeros(4, 3).double()
    for step in range(200):
        g = gradient(w, step) + decay * w
        m, u = b1 * m + (1 - b1) * g, torch.maximum(b2 * u, g.abs() + EPS)
        w = w - LR / (1 - b1 ** (step + 1)) * m / u
    ours = run(lambda groups: adamax(groups, LR, decay, betas, EPS))
    torch.testing.assert_close(ours, w, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("betas", BETAS)
def test_nadam(
    start: Callable[[], Tensor],
    gradient: Bowl,
    run: Callable[..., Tensor],
    betas: tuple[float, float],
    decay: float,
    decoupled: bool,
) -> None:
    (b1, b2), w, m, v = betas, start(), torch.zeros(4, 3).double(), torch.zeros(4, 3).double()

    def mu(t: int) -> float:
        return b1 * (1 - 0.5 * 0.96 ** (t * 0.004))

    product = 1.0
    for t in range(1, 201):
        g = gradient(w, t - 1)
        if decoupled:
            w = w - LR * decay * w
        else:
            g = g + decay * w
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        product *= mu(t)
        ahead = mu(t + 1) * m / (1 - product * mu(t + 1)) + (1 - mu(t)) * g / (1 - product)
        w = w - LR * ahead / ((v / (1 - b2**t)).sqrt() + EPS)
    ours = run(lambda groups: nadam(groups, LR, decay, betas, EPS, decoupled_weight_decay=decoupled))
    # torch's step keeps the product of mu in float32
    torch.testing.assert_close(ours, w, rtol=1e-6, atol=1e-6)
    exact = run(
        lambda groups: torch.optim.NAdam(groups, LR, betas, EPS, decay, decoupled_weight_decay=decoupled, foreach=False)
    )
    torch.testing.assert_close(ours, exact, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("betas", BETAS)
def test_radam(
    start: Callable[[], Tensor],
    gradient: Bowl,
    run: Callable[..., Tensor],
    betas: tuple[float, float],
    decay: float,
    decoupled: bool,
) -> None:
    (b1, b2), w, m, v = betas, start(), torch.zeros(4, 3).double(), torch.zeros(4, 3).double()
    limit = 2 / (1 - b2) - 1
    for t in range(1, 201):
        g = gradient(w, t - 1)
        if decoupled:
            w = w - LR * decay * w
        else:
            g = g + decay * w
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        m_hat = m / (1 - b1**t)
        rho = limit - 2 * t * b2**t / (1 - b2**t)
        if rho <= 5:
            w = w - LR * m_hat
            continue
        r = math.sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho))
        w = w - LR * r * m_hat * math.sqrt(1 - b2**t) / (v.sqrt() + EPS)
    ours = run(lambda groups: radam(groups, LR, decay, betas, EPS, decoupled))
    torch.testing.assert_close(ours, w, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(adamax, torch.optim.Adamax), (nadam, torch.optim.NAdam), (radam, torch.optim.RAdam)],
)
def test_defaults_are_torchs(
    run: Callable[..., Tensor], ours: Callable[..., torch.optim.Optimizer], theirs: Callable[..., torch.optim.Optimizer]
) -> None:
    expected = run(lambda groups: theirs(groups, foreach=False))
    torch.testing.assert_close(run(ours), expected, rtol=1e-12, atol=1e-13)
