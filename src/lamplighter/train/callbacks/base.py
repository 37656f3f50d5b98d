"""What a callback may do: look at training as it goes, keep a state of its own, and ask it to stop."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from lamplighter.data.source import Batch
from lamplighter.tasks.base import Task
from lamplighter.train import checkpoint
from lamplighter.train.distributed.strategy import Strategy


@dataclass
class State:
    """Where training stands. Callbacks read it; `stop` is theirs to set.

    Attributes:
        task: the networks being trained.
        monitor: name of the validation metric that decides which weights are best.
        mode: whether the best is the smallest or the largest.
        epochs: how many are planned.
        folder: the run's directory.
        total_steps: optimizer steps planned.
        steps_per_epoch: optimizer steps of one epoch.
        optimizers: by name.
        training_batches: a fresh pass over the training rows in their own order, as the network sees them (on the
            device, in the memory layout, without augmentation); does not move the loader.
        autocast: the context a forward pass runs in.
        schedule: optimizer steps done -> factor of the base learning rates.
        writes: whether this process writes files; with several processes only the first does.
        strategy: how several processes train together.
        epoch: epochs completed.
        step: optimizer steps done.
        metrics: of the latest validation: ``train/loss``, ``val/...``, ``lr``; a value that these rows do not define
            is NaN.
        best: best value of the monitored metric so far.
        best_epoch: the epoch (counting from 1) it belongs to.
        best_step: the step it belongs to.
        stop_reason: when set, training ends after this validation.
    """

    task: Task
    monitor: str
    mode: Literal["min", "max"]
    epochs: int
    folder: Path = Path()
    total_steps: int = 0
    steps_per_epoch: int = 0
    optimizers: Mapping[str, torch.optim.Optimizer] = field(default_factory=dict)
    training_batches: Callable[[], Iterator[Batch]] = lambda: iter(())
    autocast: contextlib.AbstractContextManager[Any] = field(default_factory=contextlib.nullcontext)
    schedule: Callable[[int], float] = lambda _step: 1.0
    writes: bool = True
    strategy: Strategy = field(default_factory=Strategy)
    epoch: int = 0
    step: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    best: float | None = None
    best_epoch: int = 0
    best_step: int = 0
    stop_reason: str | None = None

    @property
    def monitored(self) -> float:
        """The monitored metric of the latest validation."""
        return self.metrics[f"val/{self.monitor}"]

    def stop(self, reason: str) -> None:
        """End training after this validation.

        Args:
            reason: for a person; written into metrics.jsonl.
        """
        self.stop_reason = reason

    def save_weights(self, path: Path, about: dict[str, Any]) -> None:
        """Write the weights as they are now as a checkpoint; every process calls it, the one that writes does.

        Args:
            path: the folder; replaced as a whole.
            about: plain data to keep beside them.
        """
        checkpoint.save(path, self.task, about, self.strategy)


class Callback:
    """Base of all callbacks; override what you need. Constructor parameters come from the recipe.

    The order of events::

        on_train_start
        for each epoch:
            on_epoch_start
            for each step:  on_batch for each of its micro-batches, on_step_end
            with judging:   validation, best checkpoint, on_validation_end     (at the epoch's end, or more often)
            on_epoch_end, checkpoint
        on_train_end
        close                                                   (always, also after an error)
    """

    def on_train_start(self, state: State) -> None:
        """Before the first step, also of a resumed training (after `load_state_dict`)."""

    def on_restart(self, state: State) -> None:
        """A finished training is taken up again for more epochs; before `on_train_start`, after `load_state_dict`."""

    def on_epoch_start(self, state: State) -> None:
        """Before the steps of an epoch, also of one that is taken up in its middle; the task is in training mode."""

    def on_batch(self, batch: Batch, state: State, generator: torch.Generator) -> Batch:
        """Change a training batch, after augmentation and on the device.

        Args:
            batch: as the task takes it; make a new dict rather than change this one.
            state: where training stands.
            generator: the only source of random numbers to use, so that a resumed run draws the same.
        """
        return batch

    def on_step_end(self, state: State) -> None:
        """After each optimizer step."""

    def judging(self, state: State) -> contextlib.AbstractContextManager[Any]:
        """Entered around each validation. Weights put in place here are judged, and saved when they are the best;
        on the way out the training weights must be back."""
        return contextlib.nullcontext()

    def on_validation_end(self, state: State) -> None:
        """After a validation, ``state.metrics`` and ``state.best`` up to date, the judged weights still in place."""

    def on_epoch_end(self, state: State) -> None:
        """After the last validation of an epoch, before the checkpoint is written."""

    def on_train_end(self, state: State) -> None:
        """After the last epoch; not when training is interrupted."""

    def close(self, state: State) -> None:
        """However training ended, by an error or an interruption too: close files and connections."""

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on later: numbers, texts, lists, dicts and tensors."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""


def overrides(callback: Callback, hook: str) -> bool:
    """Whether a callback does something in a hook; the loop does not call those that do not."""
    return getattr(type(callback), hook) is not getattr(Callback, hook)
