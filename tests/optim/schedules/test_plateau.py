"""The plateau schedule against torch's ReduceLROnPlateau, validation by validation, and over a resume."""

from __future__ import annotations

import json
import random
from typing import Any, Literal

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lamplighter.optim.schedules.base import ObservingSchedule
from lamplighter.optim.schedules.plateau import Plateau

SETTINGS: list[dict[str, Any]] = [
    {},
    {"patience": 0},
    {"patience": 2, "factor": 0.5, "cooldown": 3},
    {"patience": 1, "threshold": 0.05, "threshold_mode": "absolute"},
    {"patience": 1, "threshold": 0.05},
    {"patience": 0, "factor": 0.3, "final": 0.02},
]


def metrics(seed: int) -> list[float]:
    """Sixty values that fall, stall and jump; some are no numbers."""
    rng = random.Random(seed)
    values = [2 / (1 + i / 5) + rng.uniform(-0.3, 0.3) for i in range(60)]
    values[rng.randrange(60)] = float("nan")
    return [abs(value) for value in values]


def of_torch(values: list[float], mode: Literal["min", "max"], settings: dict[str, Any]) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    renamed = {"final": "min_lr", "threshold_mode": "threshold_mode"}
    translated = {renamed.get(key, key): {"absolute": "abs"}.get(value, value) for key, value in settings.items()}
    schedule = ReduceLROnPlateau(optimizer, mode, eps=0, **translated)
    rates = []
    for value in values:
        schedule.step(value)
        rates.append(float(optimizer.param_groups[0]["lr"]))
    return rates


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_plateau_equals_torch(settings: dict[str, Any], mode: Literal["min", "max"]) -> None:
    falls = 0
    for seed in range(20):
        values, schedule, ours = metrics(seed), Plateau(1000, **settings), []
        for value in values:
            schedule.observe(value, mode)
            ours.append(schedule(500))
        assert ours == pytest.approx(of_torch(values, mode, settings), abs=1e-12)
        falls += ours[-1] < 1
    assert falls > 10, "hardly a schedule fell: the test tests nothing"


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_resumed_schedule_goes_on_alike(settings: dict[str, Any]) -> None:
    """Wherever it is cut: while waiting, while cooling down, right after a fall."""
    values = metrics(3)
    whole, expected = Plateau(1000, **settings), []
    for value in values:
        whole.observe(value, "min")
        expected.append(whole(7))
    for cut in range(60):
        before, after = Plateau(1000, **settings), Plateau(1000, **settings)
        for value in values[:cut]:
            before.observe(value, "min")
        after.load_state_dict(json.loads(json.dumps(before.state_dict(), allow_nan=False)))
        for value, factor in zip(values[cut:], expected[cut:]):
            after.observe(value, "min")
            assert after(7) == factor


def test_a_negative_best_value_is_bettered_by_smaller_ones_only() -> None:
    """A log-likelihood: torch's relative threshold, best (1 - t), would call -0.99999 better than -1."""
    schedule = Plateau(100, patience=0)
    for value in (-1.0, -0.99999):
        schedule.observe(value, "min")
    assert schedule(0) == 0.1


def test_a_first_value_that_is_no_number_is_not_the_best() -> None:
    schedule = Plateau(100, patience=0, factor=0.5)
    schedule.observe(float("inf"), "min")
    schedule.observe(1.0, "min")
    assert schedule.best == 1.0
    assert schedule(0) == 0.5


def test_warmup_multiplies() -> None:
    schedule = Plateau(100, warmup=10, warmup_start=0.1, patience=0, factor=0.5)
    schedule.observe(1.0, "min")
    schedule.observe(1.0, "min")
    assert [schedule(t) for t in (0, 5, 10, 99)] == pytest.approx([0.05, 0.275, 0.5, 0.5])


def test_it_is_recognised_as_observing() -> None:
    assert isinstance(Plateau(10), ObservingSchedule)
    assert not isinstance(lambda step: 1.0, ObservingSchedule)
