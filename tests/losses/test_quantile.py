"""Quantile loss against scikit-learn; what it answers."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import mean_pinball_loss

from lamplighter.core.errors import LamplighterError, RecipeError
from lamplighter.losses.mae import mae
from lamplighter.losses.quantile import Quantile, quantile_loss


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("q", [0.05, 0.5, 0.9])
def test_equals_scikit_learn(q: float) -> None:
    prediction, target = normal(50), normal(50, seed=1)
    expected = mean_pinball_loss(target.numpy(), prediction.numpy(), alpha=q)
    assert quantile_loss(prediction, target, [q]).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("q", [0.05, 0.5, 0.9])
def test_the_gradient_is_the_share_on_the_wrong_side(q: float) -> None:
    prediction, target = normal(50).requires_grad_(), normal(50, seed=1)
    (gradient,) = torch.autograd.grad(quantile_loss(prediction, target, [q]), prediction)
    expected = ((prediction > target).double() - q) / 50
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=0)


def test_several_quantiles_are_averaged_answer_by_answer() -> None:
    quantiles = (0.1, 0.5, 0.9)
    prediction, target = normal(30, 2, 3), normal(30, 2, seed=1)
    target[4, 1] = math.nan
    each = [quantile_loss(prediction[..., i], target, [q]) for i, q in enumerate(quantiles)]
    torch.testing.assert_close(quantile_loss(prediction, target, quantiles), sum(each) / 3, rtol=1e-12, atol=0)
    assert Quantile(quantiles)(prediction, target)[1] == 59 * 3


def test_the_median_is_half_the_absolute_error() -> None:
    prediction, target = normal(30), normal(30, seed=1)
    torch.testing.assert_close(2 * quantile_loss(prediction, target), mae(prediction, target))


@pytest.mark.parametrize("q", [0.1, 0.5, 0.8])
def test_the_best_constant_is_the_quantile(q: float) -> None:
    target = normal(2001).exp()
    grid = torch.linspace(0, 5, 2001, dtype=torch.float64)
    best = grid[torch.stack([quantile_loss(a.expand_as(target), target, [q]) for a in grid]).argmin()]
    assert abs(best - target.quantile(q)) < 0.01
    assert abs((target <= best).double().mean() - q) < 0.005


def test_shapes_that_do_not_fit_are_named() -> None:
    with pytest.raises(
        LamplighterError, match=r"\(6, 2\) do not fit: 3 quantiles of these targets have shape \(6, 3\)"
    ):
        quantile_loss(normal(6, 2), normal(6), (0.1, 0.5, 0.9))
    with pytest.raises(LamplighterError, match=r"1 quantiles of these targets have shape \(6, 2\)"):
        quantile_loss(normal(6, 1), normal(6, 2))


def test_one_quantile_at_least() -> None:
    with pytest.raises(RecipeError, match="at least one"):
        Quantile(())
