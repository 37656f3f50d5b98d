"""Proximal gradient descent reaches the minima that scikit-learn's Lasso, ElasticNet and Ridge find, zeros included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import ElasticNet, Lasso, Ridge
from torch import Tensor, nn

from lamplighter.optim.groups import parameter_groups
from lamplighter.optim.optimizers.proximal import proximal_sgd, soft_threshold

N, FEATURES = 200, 20


def problem() -> tuple[np.ndarray, np.ndarray]:
    """20 features, three of which matter, some noise."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, FEATURES))
    truth = np.zeros(FEATURES)
    truth[[2, 7, 11]] = [3.0, -2.0, 1.5]
    return x, x @ truth + 0.1 * rng.normal(size=N)


def minimise(optimizer: torch.optim.Optimizer, w: nn.Parameter, x: np.ndarray, y: np.ndarray, steps: int) -> np.ndarray:
    """Steps on (1 / 2n) |y - Xw|^2."""
    rows, targets = torch.from_numpy(x), torch.from_numpy(y)
    for _ in range(steps):
        optimizer.zero_grad()
        (0.5 * (rows @ w - targets).square().mean()).backward()
        optimizer.step()
    return w.detach().numpy()


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_the_support_and_the_coefficients_of_the_lasso(momentum: float) -> None:
    x, y = problem()
    expected = Lasso(alpha=0.1, fit_intercept=False, tol=1e-14, max_iter=100_000).fit(x, y).coef_
    assert (expected == 0).sum() == 17
    w = nn.Parameter(torch.zeros(FEATURES, dtype=torch.float64))
    ours = minimise(proximal_sgd([{"params": [w]}], 0.3, l1=0.1, momentum=momentum), w, x, y, 500)
    np.testing.assert_array_equal(ours == 0, expected == 0)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-8)


def test_a_penalty_in_the_loss_reaches_no_zero() -> None:
    """Why the proximal step exists: the same penalty by its subgradient."""
    x, y = problem()
    w = nn.Parameter(torch.zeros(FEATURES, dtype=torch.float64))
    optimizer = torch.optim.SGD([w], lr=0.01)
    rows, targets = torch.from_numpy(x), torch.from_numpy(y)
    for _ in range(3000):
        optimizer.zero_grad()
        (0.5 * (rows @ w - targets).square().mean() + 0.1 * w.abs().sum()).backward()
        optimizer.step()
    assert (w == 0).sum() == 0


@pytest.mark.parametrize("ratio", [0.2, 0.8])
def test_the_elastic_net(ratio: float) -> None:
    x, y = problem()
    expected = ElasticNet(alpha=0.3, l1_ratio=ratio, fit_intercept=False, tol=1e-14, max_iter=100_000).fit(x, y).coef_
    w = nn.Parameter(torch.zeros(FEATURES, dtype=torch.float64))
    ours = minimise(proximal_sgd([{"params": [w]}], 0.3, l1=0.3 * ratio, l2=0.3 * (1 - ratio)), w, x, y, 500)
    np.testing.assert_array_equal(ours == 0, expected == 0)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-8)


def test_ridge() -> None:
    x, y = problem()
    expected = Ridge(alpha=5.0, fit_intercept=False).fit(x, y).coef_
    w = nn.Parameter(torch.zeros(FEATURES, dtype=torch.float64))
    ours = minimise(proximal_sgd([{"params": [w]}], 0.3, l1=0.0, l2=5.0 / N), w, x, y, 500)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-10)


def test_a_step_is_the_minimum_of_the_penalised_neighbourhood() -> None:
    """The definition: argmin_u |u - (w - lr g)|^2 / (2 lr) + l1 |u| + l2 u^2 / 2, by brute force."""
    w, g, lr, l1, l2 = 0.7, -0.4, 0.5, 0.6, 0.8
    grid = torch.linspace(-2, 2, 4_000_001, dtype=torch.float64)
    penalised = (grid - (w - lr * g)).square() / (2 * lr) + l1 * grid.abs() + l2 * grid.square() / 2
    parameter = nn.Parameter(torch.tensor([w], dtype=torch.float64))
    parameter.grad = torch.tensor([g], dtype=torch.float64)
    proximal_sgd([{"params": [parameter]}], lr, l1, l2).step()
    assert parameter.item() == pytest.approx(grid[penalised.argmin()].item(), abs=2e-6)


def test_biases_and_norms_are_not_penalised() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(0.001)
    optimizer = proximal_sgd(parameter_groups(net, net.named_parameters()), lr=0.1, l1=0.5, l2=0.5)
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert [name for name, p in net.named_parameters() if bool((p == 0).all())] == ["0.weight"]
    assert all(bool((p == 0.001).all()) for name, p in net.named_parameters() if name != "0.weight")


@pytest.mark.parametrize("seed", range(5))
def test_soft_threshold_is_sign_times_what_is_left(seed: int) -> None:
    v = torch.randn(1000, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    expected: Tensor = v.sign() * (v.abs() - 0.3).clamp(min=0)
    torch.testing.assert_close(soft_threshold(v, 0.3), expected, rtol=1e-15, atol=1e-16)
    assert bool((soft_threshold(v, 0.3)[v.abs() <= 0.3] == 0).all())
