"""What a callback may do: look at training as it goes, keep a state of its own, and ask it to stop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from lamplighter.tasks.base import Task


@dataclass
class State:
    """Where training stands. Callbacks read it; `stop` is theirs to set.

    Attributes:
        task: the networks being trained.
        monitor: name of the validation metric that decides which epoch is best.
        mode: whether the best is the smallest or the largest.
        epochs: how many are planned.
        epoch: epochs completed.
        step: optimizer steps done.
        metrics: of the epoch just completed: ``train/loss``, ``val/...``, ``lr``; a value that these rows do not
            define is NaN.
        best: best value of the monitored metric so far.
        best_epoch: the epoch (counting from 1) it belongs to.
        stop_reason: when set, training ends after this epoch.
    """

    task: Task
    monitor: str
    mode: Literal["min", "max"]
    epochs: int
    epoch: int = 0
    step: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    best: float | None = None
    best_epoch: int = 0
    stop_reason: str | None = None

    @property
    def monitored(self) -> float:
        """The monitored metric of the epoch just completed."""
        return self.metrics[f"val/{self.monitor}"]

    def stop(self, reason: str) -> None:
        """End training after this epoch.

        Args:
            reason: for a person; written into metrics.jsonl.
        """
        self.stop_reason = reason


class Callback:
    """Base of all callbacks; override what you need. Constructor parameters come from the recipe."""

    def on_train_start(self, state: State) -> None:
        """Before the first step, also of a resumed training (after `load_state_dict`)."""

    def on_step_end(self, state: State) -> None:
        """After each optimizer step."""

    def on_epoch_end(self, state: State) -> None:
        """After validation, before the checkpoint is written."""

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on later: numbers, texts, lists, dicts and tensors."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
