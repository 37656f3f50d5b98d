"""Trial steps: what a training would do at some learning rate, tried out and taken back."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor

from lamplighter.train.averages import Averages
from lamplighter.train.undisturbed import task_undisturbed, trainer_undisturbed

if TYPE_CHECKING:
    from lamplighter.data.source import Batch
    from lamplighter.train.trainer import Trainer


@contextmanager
def trial(trainer: Trainer) -> Iterator[Callable[[float], float]]:
    """Inside, the trainer takes real steps (phases, accumulation, precision, clipping) on its next batches; afterwards
    it stands where it stood, see `trainer_undisturbed`. When the rows are used up, the next epoch begins.

    Yields:
        A function that takes one optimizer step at a learning rate and returns the loss before it, the mean over the
        step's rows. A task with several losses in a step has the sum of their means. The rate is meant as the recipe's
        ``lr``: each group of parameters, of each optimizer, keeps its factor. A loss that is not finite is returned
        like any other.
    """
    reference = nominal_rate(trainer)
    with trainer_undisturbed(trainer):
        losses = trainer.averages = _Losses(trainer)
        trainer._is_sound = lambda *_: True  # type: ignore[method-assign]  # the caller decides what ends the trial
        trainer.state.writes = False
        trainer.task.train()
        for callback in trainer.callbacks:
            callback.on_epoch_start(trainer.state)  # keeps frozen what is frozen
        steps = _steps(trainer)

        def step(lr: float) -> float:
            trainer.schedule = lambda _step: lr / reference
            trainer._step(next(steps))
            return losses.take()

        yield step


@contextmanager
def at_its_start(trainer: Trainer) -> Iterator[None]:
    """A trainer that was made for an examination only, as if its training had just begun: callbacks have frozen what
    they freeze, but write nothing. Its task is afterwards as it was."""
    with task_undisturbed(trainer.task):
        trainer.state.writes = False
        for callback in trainer.callbacks:
            callback.on_train_start(trainer.state)
        try:
            yield
        finally:
            for callback in trainer.callbacks:
                callback.close(trainer.state)


def nominal_rate(trainer: Trainer) -> float:
    """The learning rate that the recipe names; groups may have multiples of it."""
    lr = trainer.settings.optimizer.params.get("lr")
    if isinstance(lr, (int, float)):
        return float(lr)
    return max(rate for rates in trainer.base_rates.values() for rate in rates)


def _steps(trainer: Trainer) -> Iterator[list[Batch]]:
    """Micro-batches of one step after the other, epoch after epoch; an epoch's last step may have fewer."""
    while True:
        batches = iter(trainer.loader)
        while micro_batches := list(itertools.islice(batches, trainer.accumulate)):
            yield micro_batches
            trainer.batch += len(micro_batches)
        trainer.batch = 0
        trainer.state.epoch += 1


class _Losses(Averages):
    """Takes the place of the trainer's averages and keeps the losses of one step."""

    def __init__(self, trainer: Trainer) -> None:
        super().__init__()
        self.names = {"loss" if name == "main" else f"{name}_loss" for name in trainer.optimizers}
        self.strategy = trainer.strategy
        self.noted: list[tuple[str, Tensor, float | Tensor]] = []

    def add(self, name: str, value: Tensor, weight: float | Tensor, step: int) -> None:
        if name in self.names:
            self.noted.append((name, value, weight))

    def drain(self) -> None: ...

    def take(self) -> float:
        """The loss of the step that was just taken, the same in every process."""
        sums: dict[str, list[float]] = {name: [0.0, 0.0] for name in sorted(self.names)}
        for name, value, weight in self.noted:
            if float(weight):  # the mean of nothing is NaN, and no failure
                sums[name][0] += float(value) * float(weight)
                sums[name][1] += float(weight)
        self.noted = []
        flat: list[Any] = [number for pair in sums.values() for number in pair]
        if self.strategy.world > 1:
            flat = self.strategy.sum(flat)
        means = [total / weight for total, weight in zip(flat[::2], flat[1::2]) if weight]
        return sum(means) if means else math.nan
