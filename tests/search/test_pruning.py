"""The callback between a training and a pruner."""

from __future__ import annotations

import pytest

from lamplighter.search.pruning import Pruning
from lamplighter.train.callbacks.base import State


class Trial:
    """Prunes from the given step on."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.reported: dict[int, float] = {}

    def report(self, value: float, step: int) -> None:
        assert step not in self.reported
        self.reported[step] = value

    def should_prune(self) -> bool:
        return max(self.reported) >= self.at


def _train(trial: Trial, epochs: int, every: int = 1) -> tuple[Pruning, State]:
    callback = Pruning(trial)  # type: ignore[arg-type]
    state = State(task=None, monitor="loss", mode="min", epochs=epochs)  # type: ignore[arg-type]
    for epoch in range(1, epochs + 1):
        state.epoch, state.metrics = epoch, {"val/loss": 1 / epoch}
        if epoch % every == 0:
            callback.on_validation_end(state)
            callback.on_validation_end(state)  # more than one validation in an epoch
        callback.on_epoch_end(state)
        if state.stop_reason:
            break
    return callback, state


@pytest.mark.parametrize(("at", "last"), [(1, 1), (3, 3)])
def test_a_trial_that_is_pruned_ends_after_that_epoch(at: int, last: int) -> None:
    trial = Trial(at)
    callback, state = _train(trial, 5)
    assert callback.pruned and state.epoch == last
    assert state.stop_reason == f"pruned after epoch {last}: other trials did better at this age"
    assert trial.reported == {epoch: 1 / epoch for epoch in range(1, last + 1)}


def test_the_last_epoch_completes_the_trial() -> None:
    callback, state = _train(Trial(5), 5)
    assert not callback.pruned and state.stop_reason is None


def test_epochs_without_validation_are_not_reported() -> None:
    trial = Trial(99)
    _train(trial, 6, every=2)
    assert list(trial.reported) == [2, 4, 6]
