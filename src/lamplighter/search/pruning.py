"""Reports each epoch of a trial to the study, and ends the trial when the pruner says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamplighter.train.callbacks.base import Callback, State

if TYPE_CHECKING:
    import optuna


class Pruning(Callback):
    """Asks the study's pruner after each epoch that was validated.

    Args:
        trial: of the study.

    Attributes:
        pruned: whether the trial was ended early.
    """

    def __init__(self, trial: optuna.Trial) -> None:
        self.trial = trial
        self.pruned = False
        self._validated = False

    def on_validation_end(self, state: State) -> None:
        self._validated = True

    def on_epoch_end(self, state: State) -> None:
        if not self._validated:
            return
        self._validated = False
        self.trial.report(float(state.monitored), step=state.epoch)
        if state.epoch < state.epochs and self.trial.should_prune():
            self.pruned = True
            state.stop(f"pruned after epoch {state.epoch}: other trials did better at this age")
