"""What every threshold criterion must hold: a number that any probability can be held against, whatever the rows."""

from __future__ import annotations

import numpy as np
import pytest

from lamplighter.core import registry
from lamplighter.metrics.thresholds import NEVER, Criterion, decide


@pytest.fixture(params=registry.names("threshold"))
def criterion(request: pytest.FixtureRequest) -> Criterion:
    built: Criterion = registry.build("threshold", request.param, {})
    return built


def rows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.3
    return np.clip(0.3 * rng.normal(size=n) + 0.3 + 0.4 * positive, 0, 1), positive


def test_a_threshold_between_never_and_always_the_same_twice(criterion: Criterion) -> None:
    for n in (0, 1, 2, 30, 1000):
        p, positive = rows(n, n)
        before = p.copy(), positive.copy()
        threshold = criterion(p, positive)
        assert isinstance(threshold, float) and 0 <= threshold <= NEVER
        assert criterion(p, positive) == threshold
        assert np.array_equal(p, before[0]) and np.array_equal(positive, before[1])


def test_the_order_of_rows_does_not_matter(criterion: Criterion) -> None:
    p, positive = rows(300, 0)
    shuffled = np.random.default_rng(1).permutation(300)
    assert criterion(p[shuffled], positive[shuffled]) == criterion(p, positive)


def test_rows_of_one_kind_or_not_finite_do_not_stop_it(criterion: Criterion) -> None:
    p, _ = rows(20, 0)
    for truth in (np.zeros(20), np.ones(20)):
        assert 0 < criterion(p, truth) < 1
    assert 0 < criterion(np.full(4, np.nan), np.array([0, 1, 0, 1])) < 1


def test_float32_probabilities_are_divided_alike(criterion: Criterion) -> None:
    p, positive = rows(500, 2)
    threshold = criterion(p, positive)
    assert criterion(p.astype(np.float32), positive) == threshold
    assert np.array_equal(decide(p.astype(np.float32), threshold), decide(p, threshold))
