"""SGD against its recurrence, the closed form on a parabola, and scikit-learn's ridge regression."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor, nn

from lamplighter.core.errors import TrainingError
from lamplighter.optim.optimizers.sgd import sgd


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize(
    ("momentum", "nesterov", "dampening"),
    [(0.0, False, 0.0), (0.0, True, 0.0), (0.9, False, 0.0), (0.9, True, 0.0), (0.9, False, 0.3), (0.0, False, 0.5)],
)
def test_sgd_is_its_recurrence(
    start: Callable[[], Tensor],
    gradient: Callable[[Tensor, int], Tensor],
    run: Callable[..., Tensor],
    decay: float,
    momentum: float,
    nesterov: bool,
    dampening: float,
) -> None:
    w, m = start(), torch.zeros(4, 3).double()
    for step in range(200):
        g = gradient(w, step) + decay * w
        m = momentum * m + (1 - dampening if step and momentum else 1) * g
        w = w - 0.05 * (g + momentum * m if nesterov else m)
    ours = run(lambda groups: sgd(groups, 0.05, momentum, nesterov, decay, dampening))
    torch.testing.assert_close(ours, w, rtol=1e-12, atol=1e-14)


def parabola(lr: float, steps: int, momentum: float = 0.0, nesterov: bool = False) -> float:
    """x after some steps from 0 down (x - 3)^2 + 2."""
    x = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = sgd([{"params": [x]}], lr, momentum, nesterov, weight_decay=0.0)
    for _ in range(steps):
        optimizer.zero_grad()
        ((x - 3) ** 2 + 2).sum().backward()
        optimizer.step()
    return x.item()


def test_points_on_the_way_down_a_parabola() -> None:
    assert parabola(0.1, 20) == pytest.approx(2.9654123548617948, abs=1e-13)
    assert parabola(0.5, 1) == 3.0
    assert parabola(1.0, 20) == 0.0  # to and fro between 0 and 6
    assert parabola(1.0, 19) == 6.0
    assert parabola(1.1, 20) == pytest.approx(-112.01, abs=5e-3)
    assert parabola(0.1, 20, momentum=0.9) == pytest.approx(4.0477577, abs=2e-7)
    assert parabola(0.1, 20, momentum=0.9, nesterov=True) == pytest.approx(3.1184924, abs=5e-8)


@pytest.mark.parametrize("lr", [0.01, 0.1, 0.3, 0.9])
def test_the_closed_form_on_a_parabola(lr: float) -> None:
    for steps in (1, 5, 50):
        assert parabola(lr, steps) == pytest.approx(3 - 3 * (1 - 2 * lr) ** steps, abs=1e-9)


def test_weight_decay_is_ridge_regression() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 8))
    y = x @ rng.normal(size=8) + 0.1 * rng.normal(size=60)
    expected = Ridge(alpha=3.0, fit_intercept=False).fit(x, y).coef_
    w = nn.Parameter(torch.zeros(8, dtype=torch.float64))
    optimizer = sgd([{"params": [w]}], 0.1, 0.5, True, weight_decay=2 * 3.0 / 60)
    rows, targets = torch.from_numpy(x), torch.from_numpy(y)
    for _ in range(2000):
        optimizer.zero_grad()
        (rows @ w - targets).square().mean().backward()
        optimizer.step()
    np.testing.assert_allclose(w.detach().numpy(), expected, rtol=0, atol=1e-10)


def test_dampening_with_a_look_ahead_is_refused() -> None:
    with pytest.raises(TrainingError, match="nesterov: false"):
        sgd([{"params": [nn.Parameter(torch.zeros(1))]}], dampening=0.1)
