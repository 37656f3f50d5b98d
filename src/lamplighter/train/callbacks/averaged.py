"""What EMA and SWA share: an average of the weights is judged, kept and exported, while training goes on without it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Literal

from lamplighter.train import batchnorm
from lamplighter.train.averaging import WeightAverage
from lamplighter.train.callbacks.base import Callback, State

BatchNorm = Literal["average", "reestimate", "copy"]
_NOTHING: dict[str, Any] = {"count": 0, "averages": {}}


class AveragedWeights(Callback):
    """Base of callbacks that average weights; they say when to update, and how much.

    At each validation the average takes the place of the weights: it is what is judged, saved when it is the best, and
    exported. Afterwards training goes on exactly as it would have without.

    Args:
        batch_norm: running statistics that the averaged weights are judged with: their own ``average``, ``reestimate``:
            those of a pass over the training rows with the averaged weights, or a ``copy`` of the network's.
        batches: training batches of that pass; None for all.
    """

    def __init__(self, batch_norm: BatchNorm, batches: int | None) -> None:
        self.batch_norm = batch_norm
        self.batches = batches
        self.average: WeightAverage | None = None
        self._saved: dict[str, Any] = dict(_NOTHING)

    def on_train_start(self, state: State) -> None:
        saved = self.state_dict()
        self.average = WeightAverage(state.task, batch_norm=self.batch_norm == "average")
        self.average.load_state_dict(saved)
        self._saved = dict(_NOTHING)

    @contextlib.contextmanager
    def judging(self, state: State) -> Iterator[None]:
        if self.average is None or not self.average.count:
            yield
            return
        with self.average.applied(), batchnorm.kept(state.task):
            if self.batch_norm == "reestimate":
                batchnorm.reestimate(state.task, state.training_batches(), state.autocast, self.batches)
            yield

    def state_dict(self) -> dict[str, Any]:
        return self._saved if self.average is None else self.average.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._saved, self.average = state, None  # until the network is known
