"""Bias, variance and noise: exact identities, closed forms of least squares, and simulations with known truth."""

from __future__ import annotations

import numpy as np
import pytest

from lamplighter.core.errors import DataError
from lamplighter.metrics import bias_variance, classification
from lamplighter.metrics.bias_variance import brier, squared_error, zero_one

SIGMA = 0.3


def truth(x: np.ndarray) -> np.ndarray:
    return np.sin(2 * np.pi * x)


def polynomials(degree: int, models: int, points: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fitted to fresh noise on a fixed grid: x, their predictions there, and the hat matrix."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 1, points)
    design = np.polynomial.legendre.legvander(2 * x - 1, degree)
    hat = design @ np.linalg.pinv(design)
    samples = truth(x) + SIGMA * rng.normal(size=(models, points))
    return x, samples @ hat.T, hat


@pytest.mark.parametrize("degree", [1, 3, 9])
def test_equals_the_closed_forms_of_least_squares(degree: int) -> None:
    """E p = H f, Var p = sigma^2 diag(H H'), for a fixed grid."""
    x, predictions, hat = polynomials(degree, 4000, 25)
    found = squared_error(predictions, truth(x), truth(x))
    bias = ((truth(x) - hat @ truth(x)) ** 2).mean()
    variance = SIGMA**2 * np.diag(hat @ hat.T).mean()
    assert variance == pytest.approx(SIGMA**2 * (degree + 1) / 25)
    assert found.variance == pytest.approx(variance, rel=0.04)
    assert found.bias == pytest.approx(bias, abs=4 * variance / np.sqrt(4000 * 25) + 1e-3 * bias)
    assert found.noise == 0


@pytest.mark.parametrize("degree", [1, 3, 9])
def test_the_parts_add_up_to_the_error_on_fresh_rows(degree: int) -> None:
    """bias^2 + variance + noise == MSE within three standard errors, each model judged on noise of its own."""
    x, predictions, _ = polynomials(degree, 2000, 25)
    fresh = truth(x) + SIGMA * np.random.default_rng(9).normal(size=predictions.shape)
    errors = ((predictions - fresh) ** 2).mean(axis=1)
    parts = squared_error(predictions, truth(x), truth(x))
    expected = parts.bias + parts.variance + SIGMA**2
    assert abs(errors.mean() - expected) < 3 * errors.std(ddof=1) / np.sqrt(len(errors))


def test_more_freedom_trades_bias_for_variance() -> None:
    found = [squared_error(polynomials(degree, 500, 25)[1], truth(np.linspace(0, 1, 25))) for degree in (1, 3, 9)]
    assert found[0].bias > 10 * found[1].bias > 0
    assert found[0].variance < found[1].variance < found[2].variance
    assert found[1].loss < min(found[0].loss, found[2].loss)


def test_without_truth_the_parts_add_up_exactly() -> None:
    rng = np.random.default_rng(0)
    predictions, y = rng.normal(size=(5, 40, 2)), rng.normal(size=(40, 2))
    y[rng.random((40, 2)) < 0.2] = np.nan
    found = squared_error(predictions, y)
    assert found.bias + found.variance == pytest.approx(found.loss, rel=1e-12)
    assert found.loss == pytest.approx(np.nanmean((predictions - y) ** 2), rel=1e-12)
    assert found.noise is None and (found.models, found.rows) == (5, 40)


def test_few_models_do_not_make_the_bias_look_larger() -> None:
    """Three models of no bias at all: without the correction it would be a third of the variance."""
    rng = np.random.default_rng(0)
    found = squared_error(rng.normal(size=(3, 20_000)), np.zeros(20_000))
    assert found.variance == pytest.approx(1, abs=0.03)
    assert found.bias == pytest.approx(0, abs=0.03)


def test_brier_is_the_score_of_the_metrics() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), size=(6, 50))
    y = rng.integers(0, 4, 50)
    found = brier(p, y)
    assert found.loss == pytest.approx(np.mean([classification.brier(each, y) for each in p]), rel=1e-12)
    assert found.bias + found.variance == pytest.approx(found.loss, rel=1e-12)
    assert brier(np.stack([p[0], p[0]]), y).variance == 0


def test_zero_one_by_its_definition() -> None:
    rng = np.random.default_rng(0)
    answers, y = rng.integers(0, 3, (7, 60)), rng.integers(0, 3, 60)
    found = zero_one(answers, y)
    loss = bias = effect = 0.0
    for row in range(60):
        values, counts = np.unique(answers[:, row], return_counts=True)
        main = values[counts.argmax()]
        loss += np.mean(answers[:, row] != y[row]) / 60
        bias += (main != y[row]) / 60
        effect += (np.mean(answers[:, row] != main) if main == y[row] else -np.mean(answers[:, row] == y[row])) / 60
    assert (found.loss, found.bias, found.variance) == pytest.approx((loss, bias, effect))
    assert found.bias + found.variance == pytest.approx(found.loss, rel=1e-12)


def test_disagreement_helps_where_the_main_answer_is_wrong() -> None:
    assert zero_one(np.array([[1], [1], [0]]), np.array([0])).variance == pytest.approx(-1 / 3)
    assert zero_one(np.array([[0], [0], [1]]), np.array([0])).variance == pytest.approx(1 / 3)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="two models"):
        squared_error(np.zeros((1, 5)), np.zeros(5))
    with pytest.raises(DataError, match=r"\(2, 5\) do not fit targets of shape \(4,\)"):
        squared_error(np.zeros((2, 5)), np.zeros(4))
    with pytest.raises(DataError, match="two models"):
        zero_one(np.zeros(5, int), np.zeros(5, int))
    with pytest.raises(DataError, match="do not fit"):
        bias_variance.brier(np.zeros((2, 5, 3)), np.zeros(4, int))
