"""Keep the weights at the end of each cycle of the learning rate: one training, several members of an ensemble."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from lamplighter.core.errors import TrainingError
from lamplighter.train.callbacks.base import Callback, State

_LOOK_AHEAD = 1_000_000  # steps that are searched for the end of a first cycle


class Snapshots(Callback):
    """Snapshot ensembles (Huang et al. 2017, "Train 1, get M for free").

    With a schedule that rises again and again (``warm-restarts``, ``cyclic``) the network settles into one minimum in
    each cycle, is thrown out, and settles into another. The weights after the last step before each rise, and those at
    the end of the training, are kept in ``checkpoints/snapshots/cycle-1``, ``cycle-2`` ... Combine them with::

        lamp ensemble runs/NAME/1/checkpoints/snapshots/*

    Raises:
        TrainingError: the schedule never rises after it fell.
    """

    def __init__(self) -> None:
        self.fell = False  # since the cycle began
        self.saved: list[int] = []  # the step after which each snapshot was taken

    def on_train_start(self, state: State) -> None:
        steps = min(state.total_steps, _LOOK_AHEAD)
        factors = [state.schedule(step) for step in range(steps)]
        falls = next((i for i in range(1, steps) if factors[i] < factors[i - 1]), steps)
        if not any(factors[i] > factors[i - 1] for i in range(falls, steps)):
            raise TrainingError(
                "callback snapshots: the learning rate of this schedule never rises again, so there are no cycles to "
                "keep the ends of; take schedule: {name: warm-restarts, t_0: 0.2, t_mult: 1}, or cyclic"
            )
        folder = _folder(state)
        for path in folder.glob("cycle-*") if state.writes and folder.is_dir() else ():
            if path.name not in {_name(number) for number in range(1, len(self.saved) + 1)}:
                shutil.rmtree(path)  # of steps that an interrupted run takes once more

    def on_step_end(self, state: State) -> None:
        last, following = state.schedule(state.step - 1), state.schedule(state.step)
        if following > last and self.fell and state.step < state.total_steps:
            self._save(state)
        self.fell = self.fell or following < last

    def on_train_end(self, state: State) -> None:
        if not self.saved or self.saved[-1] < state.step:
            self._save(state)

    def _save(self, state: State) -> None:
        self.saved.append(state.step)
        about = {"cycle": len(self.saved), "epoch": state.epoch + 1, "step": state.step}
        state.save_weights(_folder(state) / _name(len(self.saved)), about)
        self.fell = False

    def state_dict(self) -> dict[str, Any]:
        return {"fell": self.fell, "saved": list(self.saved)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.fell, self.saved = state["fell"], list(state["saved"])


def _folder(state: State) -> Path:
    return state.folder / "checkpoints" / "snapshots"


def _name(number: int) -> str:
    return f"cycle-{number}"
