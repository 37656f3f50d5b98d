"""What every metric must hold: perfect answers are the best there are, batches in any order and on any number of
processes give the very number of all rows at once, and no input makes it crash."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lamplighter.core import registry
from lamplighter.core.seeding import generator
from lamplighter.metrics import bootstrap
from lamplighter.metrics.base import Metric, Takes
from lamplighter.metrics.bootstrap import take

N = 160
CLASSES = 8


def _labels(rng: np.random.Generator, n: int) -> tuple[Any, Any, Any]:
    y = rng.integers(CLASSES, size=n)
    return np.where(rng.random(n) < 0.6, y, rng.integers(CLASSES, size=n)), y.copy(), y


def _probabilities(rng: np.random.Generator, n: int) -> tuple[Any, Any, Any]:
    y = rng.integers(CLASSES, size=n)
    noise = rng.dirichlet(np.ones(CLASSES), size=n) if n else np.empty((0, CLASSES))
    guessed = np.where(rng.random(n) < 0.8, y, rng.integers(CLASSES, size=n))
    return np.round(0.3 * np.eye(CLASSES)[guessed] + 0.7 * noise, 2), np.eye(CLASSES)[y], y


def _values(rng: np.random.Generator, n: int) -> tuple[Any, Any, Any]:
    y = 50 + rng.normal(size=(n, 2))
    y[1::9, 0] = np.nan
    perfect = np.where(np.isnan(y), 7.0, y)
    return perfect + rng.normal(size=(n, 2)), perfect, y


def _rankings(rng: np.random.Generator, n: int) -> tuple[Any, Any, Any]:
    relevance = rng.permuted(np.tile([1.0] * 10 + [0.0] * 8, (n, 1)), axis=1)
    for row in relevance[::3]:
        row[np.flatnonzero(row == 0)[0]] = np.nan  # no candidate of this query
    perfect = np.nan_to_num(relevance)
    return np.round(perfect + 2 * rng.normal(size=perfect.shape), 1), perfect, relevance


def _masks(rng: np.random.Generator, n: int) -> tuple[Any, Any, Any]:
    y = rng.integers(CLASSES, size=(n, 5, 4))
    return np.where(rng.random(y.shape) < 0.6, y, rng.integers(CLASSES, size=y.shape)), y.copy(), y


def _tags(rng: np.random.Generator, n: int) -> tuple[Any, Any, Any]:
    words = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    y = [[words[i] for i in rng.integers(5, size=rng.integers(1, 9))] for _ in range(n)]
    other = [[words[i] for i in rng.integers(5, size=len(tags))] for tags in y]
    return [a if rng.random() < 0.6 else b for a, b in zip(y, other)], copy.deepcopy(y), y


def _texts(rng: np.random.Generator, n: int) -> tuple[Any, Any, Any]:
    words = np.array(["the", "whale", "sea", "white", "swims"])
    y = [" ".join(words[rng.integers(5, size=rng.integers(4, 12))]) for _ in range(n)]
    other = [" ".join(words[rng.integers(5, size=rng.integers(4, 12))]) for _ in range(n)]
    return [a if rng.random() < 0.6 else b for a, b in zip(y, other)], list(y), y


MAKERS: dict[Takes, Callable[[np.random.Generator, int], tuple[Any, Any, Any]]] = {
    "labels": _labels,
    "probabilities": _probabilities,
    "scores": _probabilities,
    "values": _values,
    "rankings": _rankings,
    "masks": _masks,
    "tags": _tags,
    "texts": _texts,
}


def rows(metric: Metric, n: int = N, stream: int = 0) -> tuple[Any, Any]:
    """Predictions that are partly wrong, as the metric takes them, and the truth."""
    predicted, _, y = MAKERS[metric.takes](generator(0, "metric-contract", n, stream), n)
    return predicted, y


def perfect(metric: Metric, n: int = N) -> tuple[Any, Any]:
    """Perfect predictions for the same truth."""
    _, predicted, y = MAKERS[metric.takes](generator(0, "metric-contract", n, 0), n)
    return predicted, y


@pytest.fixture(params=registry.names("metric"))
def metric(request: pytest.FixtureRequest) -> Metric:
    built: Metric = registry.build("metric", request.param, {})
    return built


def _same(a: float, b: float) -> bool:
    return a == b or (np.isnan(a) and np.isnan(b))


def test_it_says_what_it_takes_and_what_it_is_called(metric: Metric) -> None:
    assert metric.takes in MAKERS and metric.mode in ("min", "max")
    assert metric.key.replace("_", "").replace(".", "").isalnum() and metric.key == metric.key.lower()
    assert metric.bounds[0] < metric.bounds[1]


def test_a_number_within_its_bounds_the_same_twice_and_the_input_untouched(metric: Metric) -> None:
    predicted, y = rows(metric)
    before = copy.deepcopy((predicted, y))
    value = metric(predicted, y)
    assert isinstance(value, float) and metric.bounds[0] <= value <= metric.bounds[1]
    assert metric(predicted, y) == value
    for now, then in zip((predicted, y), before):
        assert now == then if isinstance(now, list) else np.array_equal(now, then, equal_nan=True)


def test_perfect_answers_are_the_best_there_are(metric: Metric) -> None:
    found, blurred = metric(*perfect(metric)), metric(*rows(metric))
    best = metric.bounds[0] if metric.mode == "min" else metric.bounds[1]
    assert found == pytest.approx(best, abs=1e-12)
    assert blurred > best + 0.01 if metric.mode == "min" else blurred < best - 0.01


@pytest.mark.parametrize("seed", range(5))
def test_batches_in_any_order_give_the_very_number_of_all_rows_at_once(metric: Metric, seed: int) -> None:
    predicted, y = rows(metric)
    whole = metric(predicted, y)
    rng = np.random.default_rng(seed)
    cuts = np.sort(rng.integers(0, N + 1, size=rng.integers(0, 12)))  # empty batches among them
    one_by_one, merged = metric.stream(), metric.stream()
    for part in np.split(rng.permutation(N), cuts):
        one_by_one.update(take(predicted, part), take(y, part))
        process = metric.stream()
        process.update(take(predicted, part), take(y, part))
        merged.merge(process)
    assert one_by_one.compute() == whole
    assert merged.compute() == whole


def test_a_stream_goes_on_after_it_was_read_and_merging_leaves_the_other_as_it_is(metric: Metric) -> None:
    predicted, y = rows(metric)
    first, second, third = np.split(np.arange(N), [40, 100])
    stream, other = metric.stream(), metric.stream()
    stream.update(take(predicted, first), take(y, first))
    stream.compute()
    other.update(take(predicted, second), take(y, second))
    alone = other.compute()
    stream.merge(other)
    stream.update(take(predicted, third), take(y, third))
    assert stream.compute() == metric(predicted, y)
    assert other.compute() == alone


def test_the_fast_way_gives_the_same_but_for_rounding(metric: Metric) -> None:
    predicted, y = rows(metric)
    assert metric.compute(predicted, y) == pytest.approx(metric(predicted, y), rel=1e-12, abs=1e-14)


def test_rows_whose_mean_it_is_have_that_mean(metric: Metric) -> None:
    for predicted, y in (rows(metric), rows(metric, stream=1)):
        value = metric(predicted, y)
        for each in (metric.rows(predicted, y), metric.contributions(predicted, y)):
            if each is not None:
                assert len(each) == len(y)
                assert each.mean() == pytest.approx(value, rel=1e-12, abs=1e-12)


def test_no_rows_have_no_number_and_one_row_does_not_crash(metric: Metric) -> None:
    assert np.isnan(metric.stream().compute())
    assert np.isnan(metric(*rows(metric, n=0)))
    assert isinstance(metric(*rows(metric, n=1)), float)
    assert isinstance(metric(*perfect(metric, n=1)), float)


def test_a_single_class_does_not_crash(metric: Metric) -> None:
    predicted, y = rows(metric)
    if metric.takes in ("labels", "probabilities", "scores", "masks"):
        assert isinstance(metric(predicted, np.zeros_like(y)), float)
        assert isinstance(metric(predicted, np.full_like(y, CLASSES - 1)), float)


def test_a_diverged_models_answers_are_passed_on_as_what_they_are(metric: Metric) -> None:
    """NaN in, NaN out: a metric must not make a broken model look good."""
    if metric.takes in ("probabilities", "scores", "values"):
        predicted, y = rows(metric)
        predicted[3] = np.nan
        assert np.isnan(metric(predicted, y))


def test_an_interval_holds_the_number(metric: Metric) -> None:
    predicted, y = rows(metric)
    score = bootstrap.score(metric, predicted, y, resamples=200)
    assert score is not None
    assert score.value == metric(predicted, y) and score.n == N
    assert metric.bounds[0] <= score.low <= score.high <= metric.bounds[1]
    centre, half = (score.low + score.high) / 2, (score.high - score.low) / 2
    assert abs(score.value - centre) <= 2 * half + 1e-12
    assert bootstrap.score(metric, predicted, y, resamples=200) == score


def test_a_model_does_not_differ_from_itself_and_does_from_a_perfect_one(metric: Metric) -> None:
    predicted, y = rows(metric)
    same = bootstrap.compare(metric, predicted, predicted, y, resamples=50)
    assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)
    found = bootstrap.compare(metric, perfect(metric)[0], predicted, y, resamples=100)
    better = found.difference if metric.mode == "max" else -found.difference
    assert better > 0 and found.p_value < 0.02
