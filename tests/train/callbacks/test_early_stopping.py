"""Early stopping: the decision, by hand and against a plain restatement on random sequences."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import pytest

from lamplighter.core import registry
from lamplighter.core.errors import LamplighterError
from lamplighter.tasks.base import Task
from lamplighter.train.callbacks.base import State
from lamplighter.train.callbacks.early_stopping import EarlyStopping


def stop_epoch(callback: EarlyStopping, values: list[float], mode: Literal["min", "max"] = "min") -> int | None:
    """The epoch (from 1) after which training ends, or None; the state carries the reason."""
    state = State(Task(), "loss", mode, len(values))
    for value in values:
        state.epoch += 1
        state.metrics = {"val/loss": value}
        callback.on_epoch_end(state)
        if state.stop_reason:
            return state.epoch
    return None


@pytest.mark.parametrize("patience", [1, 2, 5])
def test_best_at_e_stops_at_e_plus_patience(patience: int) -> None:
    values = [3.0, 2.0, 1.0] + [1.5] * 9
    assert stop_epoch(EarlyStopping(patience), values) == 3 + patience


def test_a_rising_accuracy_does_not_stop() -> None:
    values = [0.5 + i / 100 for i in range(25)]
    assert stop_epoch(EarlyStopping(1), values, "max") is None
    assert stop_epoch(EarlyStopping(3), values, "min") == 4


def test_a_change_below_min_delta_is_no_improvement() -> None:
    values = [1.0, 0.99, 0.98, 0.97, 0.96]
    assert stop_epoch(EarlyStopping(3), values) is None
    assert stop_epoch(EarlyStopping(3, min_delta=0.1), values) == 4
    assert stop_epoch(EarlyStopping(3, min_delta=0.025), values) is None, "measured from the best, not the last"


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_value_that_is_not_finite_stops_at_once_and_says_so(bad: float) -> None:
    callback = EarlyStopping(5)
    state = State(Task(), "loss", "min", 9, epoch=1, metrics={"val/loss": bad})
    callback.on_epoch_end(state)
    assert state.stop_reason == f"validation loss is {bad} after epoch 1"


@pytest.mark.parametrize("mode", ["min", "max"])
def test_random_sequences_stop_where_a_plain_restatement_says(mode: Literal["min", "max"]) -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        patience, delta = int(rng.integers(1, 7)), float(rng.choice([0.0, 0.05]))
        values = rng.random(30).round(2).tolist()
        sign = 1 if mode == "min" else -1
        expected, best, best_at = None, math.inf, 0
        for epoch, value in enumerate(values, start=1):
            if sign * value < best - delta:
                best, best_at = sign * value, epoch
            if epoch == best_at + patience:
                expected = epoch
                break
        assert stop_epoch(EarlyStopping(patience, delta), values, mode) == expected


def test_a_resumed_patience_is_not_started_anew() -> None:
    first, second = EarlyStopping(3), EarlyStopping(3)
    assert stop_epoch(first, [1.0, 2.0, 2.0]) is None
    second.load_state_dict(first.state_dict())
    assert stop_epoch(second, [2.0]) == 1


@pytest.mark.parametrize("params", [{"patience": 0}, {"min_delta": -1.0}, {"monitor": "loss"}])
def test_bad_parameters_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(LamplighterError, match=next(iter(params))):
        registry.build("callback", "early-stopping", params)
