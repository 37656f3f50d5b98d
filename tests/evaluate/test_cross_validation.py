"""The interval over folds: the formula, and how often it holds the truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lamplighter.core.errors import DataError
from lamplighter.core.seeding import generator
from lamplighter.data.folds import k_fold
from lamplighter.evaluate.cross_validation import corrected_interval, summarise
from lamplighter.metrics.score import Score


def test_without_held_out_rows_it_is_the_plain_t_interval() -> None:
    values = generator(0, "values").normal(0.9, 0.02, 7)
    plain = stats.t.interval(0.95, 6, loc=values.mean(), scale=stats.sem(values))
    np.testing.assert_allclose(corrected_interval(values.tolist(), [10] * 7, [0] * 7), plain, rtol=1e-12)


def test_five_folds_are_wider_by_the_square_root_of_nine_quarters() -> None:
    values = generator(1, "values").normal(0.9, 0.02, 5)
    plain = stats.sem(values) * stats.t.ppf(0.975, 4)
    low, high = corrected_interval(values.tolist(), [80] * 5, [20] * 5)
    assert (high - low) / (2 * plain) == pytest.approx((9 / 4) ** 0.5, rel=1e-12)
    assert (low + high) / 2 == pytest.approx(values.mean(), rel=1e-12)


def test_it_holds_the_truth_as_often_as_it_says_and_the_plain_one_does_not() -> None:
    """Nearest-mean classifiers of two Gaussian clouds; truth: their mean accuracy when trained on as many rows."""

    def fit(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return x[y == 0].mean(axis=0), x[y == 1].mean(axis=0)

    def draw(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
        y = rng.integers(0, 2, rows)
        return rng.normal(size=(rows, 10)) + 0.35 * y[:, None], y

    def accuracy(means: tuple[np.ndarray, np.ndarray], x: np.ndarray, y: np.ndarray) -> float:
        nearer = ((x - means[1]) ** 2).sum(axis=1) < ((x - means[0]) ** 2).sum(axis=1)
        return float((nearer == y).mean())

    large = draw(generator(0, "large"), 20_000)
    truth = np.mean([accuracy(fit(*draw(generator(i, "truth"), 80)), *large) for i in range(200)])
    corrected = plain = 0
    for repeat in range(300):
        rng = generator(repeat, "coverage")
        x, y = draw(rng, 100)
        values = []
        for again in range(6):  # repeated folds: where the plain interval is worst
            for train, held_out in k_fold(100, 5, seed=1000 * repeat + again):
                values.append(accuracy(fit(x[train], y[train]), x[held_out], y[held_out]))
        low, high = corrected_interval(values, [80] * 30, [20] * 30)
        corrected += low <= truth <= high
        mean, half = np.mean(values), stats.sem(values) * stats.t.ppf(0.975, 29)
        plain += mean - half <= truth <= mean + half
    assert 0.91 <= corrected / 300 <= 1.0
    assert plain / 300 < 0.75


def test_a_summary_of_folds() -> None:
    of = [0.99, 1.0, 0.98]
    scores = [
        {"accuracy": Score(value=v, n=20, low=0, high=1), "loss": Score(value=9 * v, n=20, low=0, high=1)} for v in of
    ]
    scores[0]["roc_auc"] = Score(value=1, n=20, low=0, high=1)
    found = summarise(scores, [40, 40, 40], [20, 20, 21])
    assert list(found) == ["accuracy", "loss"], "a metric that a fold does not define is left out"
    accuracy = found["accuracy"]
    assert accuracy.values == tuple(of) and accuracy.mean == pytest.approx(0.99) and accuracy.sd == pytest.approx(0.01)
    assert accuracy.high == 1.0, "no accuracy is above 1"
    assert found["loss"].high > 9.0 and found["loss"].n == 61
    assert str(accuracy).startswith("0.9900 (95% interval 0.9")
    assert accuracy.score() == Score(value=accuracy.mean, n=61, low=accuracy.low, high=1.0)


def test_one_fold_has_no_interval() -> None:
    with pytest.raises(DataError, match="at least two folds"):
        corrected_interval([0.9], [80], [20])
