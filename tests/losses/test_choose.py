"""What ``loss: auto`` chooses, on targets made to be one thing or the other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lamplighter.losses.choose import HEAVY, Tail, for_classes, for_numbers, tails


def one(y: np.ndarray) -> Tail:
    (tail,) = tails(torch.from_numpy(y))
    return tail


NOISE = {
    "normal": (lambda rng: rng.standard_normal(2000), "mse"),
    "uniform": (lambda rng: rng.random(2000), "mse"),
    "two heaps": (lambda rng: rng.standard_normal(2000) + 8 * rng.integers(0, 2, 2000), "mse"),
    "small integers": (lambda rng: rng.poisson(4, 2000).astype(float), "mse"),
    "student t 2": (lambda rng: rng.standard_t(2, 2000), "huber"),
    "laplace": (lambda rng: rng.laplace(size=2000), "huber"),
    "lognormal": (lambda rng: np.exp(rng.standard_normal(2000)), "huber"),
    "1% typing errors": (lambda rng: np.where(rng.random(2000) < 0.01, 1e4, rng.standard_normal(2000)), "huber"),
}


@pytest.mark.parametrize("kind", NOISE)
@pytest.mark.parametrize("seed", range(4))
def test_heavy_tails_choose_huber_and_light_ones_mse(kind: str, seed: int) -> None:
    make, expected = NOISE[kind]
    y = 1000 + 50 * make(np.random.default_rng(seed))  # neither unit nor offset matters
    chosen, reason = for_numbers(["price"], [one(y)])
    assert chosen.name == expected, one(y)
    assert reason.startswith(f"loss: {expected}") and "'price'" in reason


def test_the_share_and_the_spread_are_what_they_say() -> None:
    y = np.random.default_rng(0).standard_normal(100_000)
    assert one(y).outliers == 0
    assert one(y).spread == pytest.approx(1, abs=0.01)
    y[:3000] = 40
    tail = one(y)
    assert tail.outliers == 0.03
    robust = 1.4826 * np.median(np.abs(y - np.median(y)))
    assert tail.spread == pytest.approx(robust / y.std(), rel=1e-3)


def test_huber_turns_at_one_robust_standard_deviation() -> None:
    chosen, reason = for_numbers(["a", "b"], [Tail(0.0, 0.99), Tail(0.02, 0.2345678)])
    assert chosen.params == {"delta": 0.235}
    assert "2.0% of the training values of 'b'" in reason
    assert for_numbers(["a"], [Tail(0.02, 3.0)])[0].params == {"delta": 1.0}


def test_the_boundary_is_one_in_a_thousand() -> None:
    assert for_numbers(["a"], [Tail(0.99 * HEAVY, 1.0)])[0].name == "mse"
    assert for_numbers(["a"], [Tail(HEAVY, 1.0)])[0].name == "huber"
    assert HEAVY == 0.001


def test_half_equal_values_have_no_tail() -> None:
    """Amounts that are mostly 0: their rare large values are what is to be learned, no errors."""
    y = np.zeros(1000)
    y[:100] = 1000.0
    assert one(y) == Tail(0.0, 1.0)
    assert one(np.full(5, 3.0)) == Tail(0.0, 1.0)


def test_blanks_are_left_out_column_by_column() -> None:
    rng = np.random.default_rng(0)
    y = rng.standard_normal((1000, 2))
    y[::2, 0] = np.nan
    y[:10, 1] = 500
    found = tails(torch.from_numpy(y))
    assert found[0].outliers == 0 and found[1].outliers == 0.01
    assert tails(torch.full((3, 1), torch.nan)) == [Tail(0.0, 1.0)]


def test_targets_nobody_looked_at_get_mse_and_it_says_so() -> None:
    chosen, reason = for_numbers(["a", "b"], None)
    assert chosen.name == "mse"
    assert "'a', 'b' are numbers; the training targets are not in memory" in reason


def test_uneven_classes_are_mentioned_from_ten_to_one_on() -> None:
    labels = ["no", "maybe", "yes"]
    assert for_classes("sick", labels, [900, 500, 91]) == ["loss: cross-entropy, because 'sick' is one of 3 classes"]
    first, second = for_classes("sick", labels, [900, 5000, 90])
    assert first.startswith("loss: cross-entropy")
    assert second.startswith("'yes' has 90 of 5,990 training rows, 'maybe' 5,000: look at balanced_accuracy")
    assert "task.class_weights: balanced" in second
    assert len(for_classes("sick", labels, [5, 0, 5])) == 2
    assert len(for_classes("sick", labels, None)) == 1
