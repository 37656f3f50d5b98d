"""The luck in the best of several scores, against simulations in which the truth is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lamplighter.core.seeding import generator
from lamplighter.evaluate.optimism import expected_optimism

Draw = Callable[[np.random.Generator, int], np.ndarray]
WORLDS: dict[str, tuple[Draw, float, float]] = {
    # true scores in standard errors -> bounds of estimate / truth
    "all equal": (lambda rng, n: np.zeros(n), 0.85, 1.05),
    "differ a little": (lambda rng, n: rng.normal(0, 0.5, n), 0.95, 1.2),
    "differ as much as the noise": (lambda rng, n: rng.normal(0, 1, n), 1.0, 1.5),
    "differ much": (lambda rng, n: rng.normal(0, 10, n), 1.0, 1.7),
    "some fail": (lambda rng, n: np.where(rng.random(n) < 0.3, -30.0, 0.0), 0.8, 1.05),
    "close to a ceiling": (lambda rng, n: -rng.exponential(3, n), 0.9, 1.25),
}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("trials", [10, 50])
def test_the_estimate_is_near_the_truth_and_rarely_too_small(world: str, trials: int) -> None:
    draw, least, most = WORLDS[world]
    truth, estimate = [], []
    for repeat in range(800):
        rng = generator(repeat, world, trials)
        true = 0.8 + 0.01 * draw(rng, trials)
        seen = true + 0.01 * rng.normal(size=trials)
        truth.append(seen.max() - true[seen.argmax()])
        estimate.append(expected_optimism(seen.tolist(), 0.01, "max").expected)
    assert least < np.mean(estimate) / np.mean(truth) < most


def test_fifty_coins_on_200_rows() -> None:
    """The best of them shows 0.58; what the estimate takes off leaves a half."""
    best, corrected = [], []
    for repeat in range(200):
        seen = generator(repeat, "coins").binomial(200, 0.5, 50) / 200
        best.append(seen.max())
        corrected.append(seen.max() - expected_optimism(seen.tolist(), 0.5 / 200**0.5, "max").expected)
    assert np.mean(best) == pytest.approx(0.58, abs=0.005)
    assert np.mean(corrected) == pytest.approx(0.5, abs=0.01)


def test_small_is_good_too_and_what_is_not_finite_does_not_count() -> None:
    values = [0.2, 0.25, 0.21, 0.3]
    up = expected_optimism([-value for value in values], 0.03, "max")
    assert expected_optimism([*values, float("nan"), float("inf")], 0.03, "min") == up
    assert up.expected > 0 and up.contenders == 4


def test_nothing_to_be_lucky_about() -> None:
    assert expected_optimism([], 0.1, "max").expected == 0
    assert expected_optimism([0.7], 0.1, "max") == expected_optimism([0.7, 0.1], 0.1, "max")
    assert expected_optimism([0.7, 0.6], 0.0, "max").expected == 0
    same = expected_optimism([0.7, 0.7, 0.7], 0.1, "max")
    assert same.expected == pytest.approx(0) and same.noise == 1
