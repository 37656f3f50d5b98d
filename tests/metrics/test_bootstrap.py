"""Intervals and comparisons: they hold the truth as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from lamplighter.core.errors import DataError
from lamplighter.metrics import bootstrap, classification, intervals, regression
from lamplighter.metrics.base import Metric
from lamplighter.metrics.of_labels import Accuracy, FBeta
from lamplighter.metrics.of_masks import Dice
from lamplighter.metrics.of_probabilities import LogLoss
from lamplighter.metrics.of_scores import ROCAUC, AveragePrecision
from lamplighter.metrics.of_values import MAE, R2, RMSE, MedianAbsoluteError


def _split(n: int, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([n, k, seed])
    y = rng.integers(k, size=n)
    parts = rng.dirichlet(np.ones(k), size=n) + 0.4 * np.eye(k)[y]
    return parts / parts.sum(axis=1, keepdims=True), y


def test_the_interval_of_a_known_metric_is_that_of_the_summaries() -> None:
    p, y = _split(400, 3, 0)
    found = classification.scores(p, y)
    for metric, name in ((LogLoss(), "loss"), (ROCAUC(), "roc_auc"), (FBeta(), "f1_macro")):
        score = bootstrap.score(metric, p.argmax(axis=1) if metric.takes == "labels" else p, y)
        assert score is not None and score.value == pytest.approx(found[name].value, abs=1e-12)
        width = found[name].high - found[name].low
        assert abs(score.low - found[name].low) < 0.12 * width and abs(score.high - found[name].high) < 0.12 * width
    rng = np.random.default_rng(0)
    value, truth = rng.normal(size=300), 0.3 + rng.normal(size=300)
    for metric, name in ((MAE(), "mae"), (RMSE(), "rmse"), (R2(), "r2")):
        score, reference = bootstrap.score(metric, value, truth), regression.scores(value, truth)[name]
        assert score is not None and score.value == pytest.approx(reference.value, rel=1e-12)
        assert abs(score.low - reference.low) < 0.15 * (reference.high - reference.low)


@pytest.mark.parametrize(
    "metric", [Accuracy(), FBeta(), ROCAUC(), AveragePrecision()], ids=lambda metric: str(metric.key)
)
def test_intervals_hold_the_truth_as_often_as_they_say(metric: Metric) -> None:
    """Of 150 intervals at 90%, fewer than 122 or more than 147 hold the truth with a chance of about 1%."""
    p, y = _split(200_000, 2, 1)
    predicted = p.argmax(axis=1) if metric.takes == "labels" else p
    truth = metric(predicted, y)
    held = 0
    for start in range(0, 150 * 300, 300):
        rows = slice(start, start + 300)
        score = bootstrap.score(metric, predicted[rows], y[rows], level=0.9, resamples=300)
        assert score is not None
        held += score.low <= truth <= score.high
    assert 122 <= held <= 147


def test_any_function_of_rows_has_an_interval() -> None:
    rng = np.random.default_rng(0)
    value, y = rng.normal(size=(2, 500))
    score = bootstrap.interval(lambda a, b: float(np.quantile(np.abs(a - b), 0.9)), value, y)
    assert score is not None and score.low < score.value < score.high and score.n == 500
    median = bootstrap.score(MedianAbsoluteError(), value, y)
    again = bootstrap.interval(MedianAbsoluteError().compute, value, y)
    assert median == again
    assert bootstrap.interval(lambda a, b: np.nan, value, y) is None
    assert bootstrap.interval(lambda a, b: 1.0, value[:0], y[:0]) is None


def test_masks_are_drawn_image_by_image() -> None:
    """Ten images that are right or wrong as a whole: pixels drawn one by one would promise ten times too much."""
    y = np.ones((10, 32, 32), dtype=int)
    predicted = y.copy()
    predicted[:4] = 0
    score = bootstrap.score(Dice(without=(0,)), predicted, y)
    assert score is not None and score.high - score.low > 0.3


def test_where_not_defined() -> None:
    p, y = _split(20, 2, 0)
    assert bootstrap.score(ROCAUC(), p, np.ones(20, dtype=int)) is None
    assert bootstrap.score(Accuracy(), y[:0], y[:0]) is None
    nothing = bootstrap.compare(Accuracy(), y[:0], y[:0], y[:0])
    assert np.isnan([nothing.difference, nothing.p_value]).all() and nothing.n == 0
    with pytest.raises(DataError, match="19 and 20 predictions do not fit 20 targets"):
        bootstrap.compare(Accuracy(), y[:19], y, y)


def test_pairing_sees_a_difference_that_two_separate_intervals_do_not() -> None:
    rng = np.random.default_rng(0)
    y = np.zeros(1000, dtype=int)
    second = (rng.random(1000) < 0.3).astype(int)  # wrong in 30%
    first = second.copy()
    first[np.flatnonzero(second)[:25]] = 0  # 25 of those mistakes mended, nothing broken
    found = bootstrap.compare(Accuracy(), first, second, y)
    assert found.difference == pytest.approx(0.025) and found.low > 0.01 and found.p_value < 0.01
    scores = [bootstrap.score(Accuracy(), answers, y) for answers in (first, second)]
    assert scores[0] is not None and scores[1] is not None and scores[0].low < scores[1].high
    reverse = bootstrap.compare(Accuracy(), second, first, y)
    assert (reverse.difference, reverse.low, reverse.high) == (-found.difference, -found.high, -found.low)


@pytest.mark.parametrize("metric", [Accuracy(), FBeta(), LogLoss()], ids=lambda metric: str(metric.key))
def test_equally_good_models_differ_at_five_per_cent_in_about_five_per_cent(metric: Metric) -> None:
    """Of 70 comparisons without a difference, more than 10 alarms come up with a chance of 0.1%, none with 3%."""
    alarms = 0
    for seed in range(70):
        rng = np.random.default_rng(seed)
        y = rng.integers(2, size=200)
        logits = [1.5 * (2 * y - 1) + 2 * rng.normal(size=200) for _ in range(2)]
        if metric.takes == "labels":
            first, second = ((logit > 0).astype(int) for logit in logits)
        else:
            first, second = (np.stack([-logit, logit], axis=1) for logit in logits)
            first, second = (np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) for z in (first, second))
        alarms += bootstrap.compare(metric, first, second, y, resamples=100).p_value <= 0.05
    assert 1 <= alarms <= 10


def test_resampled_matrices_have_the_same_rows_and_the_right_mean() -> None:
    matrix = np.array([[50, 10, 0], [5, 30, 5], [0, 0, 20]])
    drawn = np.stack(list(intervals.resampled_matrices(matrix, resamples=2000)))
    assert (drawn.sum(axis=(1, 2)) == 120).all() and (drawn[:, matrix == 0] == 0).all()
    np.testing.assert_allclose(drawn.mean(axis=0), matrix, atol=0.6)
