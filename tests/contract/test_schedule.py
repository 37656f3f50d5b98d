"""What every schedule must hold: a finite factor up to 1 for every step, the same whenever it is asked."""

from __future__ import annotations

import json
import math
from typing import Literal

import pytest

from lamplighter.core import registry
from lamplighter.optim.schedules import ObservingSchedule, Schedule

NAMES = registry.names("schedule")
LOSSES = [1.0, 0.8, 0.9, float("nan"), 0.8, 0.7, *[0.75] * 40]


def build(name: str, total_steps: int, steps_per_epoch: int | None = 4) -> Schedule:
    facts = {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch}
    schedule: Schedule = registry.build("schedule", name, {}, facts)
    return schedule


@pytest.mark.parametrize("total_steps", [1, 2, 3, 10, 97, 1000])
@pytest.mark.parametrize("name", NAMES)
def test_factors_are_finite_and_positive(name: str, total_steps: int) -> None:
    """One step more than planned is asked for too: after the last step the next rate, perhaps 0, is already set."""
    factor = build(name, total_steps)
    values = [factor(step) for step in range(total_steps)]
    assert all(math.isfinite(value) and 0 < value <= 1 for value in values)
    assert 0 <= factor(total_steps) <= 1
    assert max(values) > 0.5 or total_steps == 1, "the recipe's learning rate is never reached"


@pytest.mark.parametrize("name", NAMES)
def test_defaults_suit_a_stream_without_epochs(name: str) -> None:
    assert 0 < build(name, 50, None)(25) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_the_factor_depends_on_the_step_alone(name: str) -> None:
    """A resumed run asks for step 50 first."""
    asked_in_order, resumed = build(name, 100), build(name, 100)
    assert [asked_in_order(step) for step in range(100)][50:] == [resumed(step) for step in range(50, 100)]
    assert resumed(3) == asked_in_order(3)


@pytest.mark.parametrize("name", NAMES)
def test_a_schedule_that_looks_at_validations_says_so(name: str) -> None:
    """All three methods, or none: the trainer asks for the protocol."""
    schedule = build(name, 100)
    methods = [hasattr(schedule, method) for method in ("observe", "state_dict", "load_state_dict")]
    assert all(methods) == any(methods) == isinstance(schedule, ObservingSchedule)


OBSERVING = [name for name in NAMES if isinstance(build(name, 100), ObservingSchedule)]


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("cut", [0, 1, 5, 20])
@pytest.mark.parametrize("name", OBSERVING)
def test_an_observing_schedule_resumes(name: str, cut: int, mode: Literal["min", "max"]) -> None:
    whole, before, after = (build(name, 500) for _ in range(3))
    assert isinstance(whole, ObservingSchedule)
    assert isinstance(before, ObservingSchedule)
    assert isinstance(after, ObservingSchedule)
    for loss in LOSSES[:cut]:
        whole.observe(loss, mode)
        before.observe(loss, mode)
    after.load_state_dict(json.loads(json.dumps(before.state_dict(), allow_nan=False)))
    for step, loss in enumerate(LOSSES[cut:]):
        whole.observe(loss, mode)
        after.observe(loss, mode)
        assert 0 < after(step) == whole(step) <= 1
    assert whole(400) < build(name, 500)(400), "forty validations without improvement changed nothing"
