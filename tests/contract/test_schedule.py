"""What every schedule must hold: a finite positive factor for every step, the same whenever it is asked."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from lamplighter.core import registry

NAMES = registry.names("schedule")


def build(name: str, total_steps: int) -> Callable[[int], float]:
    schedule: Callable[[int], float] = registry.build("schedule", name, {}, {"total_steps": total_steps})
    return schedule


@pytest.mark.parametrize("total_steps", [1, 2, 3, 10, 97])
@pytest.mark.parametrize("name", NAMES)
def test_factors_are_finite_and_positive(name: str, total_steps: int) -> None:
    """One step more than planned is asked for too: after the last step the next rate is already set."""
    factor = build(name, total_steps)
    values = [factor(step) for step in range(total_steps + 1)]
    assert all(math.isfinite(value) and 0 < value <= 1 for value in values)
    assert max(values) > 0.5 or total_steps == 1, "the recipe's learning rate is never reached"


@pytest.mark.parametrize("name", NAMES)
def test_the_factor_depends_on_the_step_alone(name: str) -> None:
    """A resumed run asks for step 50 first."""
    asked_in_order, resumed = build(name, 100), build(name, 100)
    assert [asked_in_order(step) for step in range(100)][50:] == [resumed(step) for step in range(50, 100)]
    assert resumed(3) == asked_in_order(3)
