"""The state callbacks see, and that a callback may do nothing."""

from __future__ import annotations

from lamplighter.tasks.base import Task
from lamplighter.train.callbacks.base import Callback, State


def test_monitored_is_the_validation_metric() -> None:
    state = State(Task(), "accuracy", "max", 3, metrics={"train/accuracy": 0.1, "val/accuracy": 0.7})
    assert state.monitored == 0.7


def test_stop_keeps_its_reason() -> None:
    state = State(Task(), "loss", "min", 3)
    assert state.stop_reason is None
    state.stop("enough")
    assert state.stop_reason == "enough"


def test_a_callback_may_do_nothing() -> None:
    callback, state = Callback(), State(Task(), "loss", "min", 3)
    callback.on_train_start(state)
    callback.on_step_end(state)
    callback.on_epoch_end(state)
    callback.load_state_dict(callback.state_dict())
    assert state.stop_reason is None
