"""Exponential moving average of the weights."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lamplighter.train.callbacks.averaged import AveragedWeights, BatchNorm
from lamplighter.train.callbacks.base import State


class EMA(AveragedWeights):
    """Judges, keeps and exports avg <- d avg + (1 - d) weights instead of the weights of the last step.

    The noise of single steps averages out, which is worth most while the learning rate is still high (Polyak and
    Juditsky 1992; Tarvainen and Valpola 2017, "Mean teachers"). The average remembers about 1 / (1 - d) updates: 0.999
    suits some thousand steps and more; for a short training take 0.99 or less. With ``warmup`` the decay after t
    updates is min(d, (1 + t) / (10 + t)), so that the first, random weights are soon forgotten.

    Averages are float32 also when the network computes in 16 bits. Buffers other than batch-norm statistics stay the
    network's own.

    Args:
        decay: d, what is kept of the average at each update.
        warmup: begin with a smaller decay.
        every: optimizer steps from one update to the next.
        batch_norm: statistics of batch normalisation: ``average`` takes their average along; ``reestimate`` runs the
            training rows through the averaged weights at each validation; ``copy`` uses the trained network's, as
            torch's AveragedModel does unless told otherwise.
    """

    def __init__(
        self,
        decay: Annotated[float, Field(ge=0, lt=1)] = 0.999,
        warmup: bool = True,
        every: Annotated[int, Field(ge=1)] = 1,
        batch_norm: BatchNorm = "average",
    ) -> None:
        super().__init__(batch_norm, batches=None)
        self.decay = decay
        self.warmup = warmup
        self.every = every

    def on_step_end(self, state: State) -> None:
        assert self.average is not None
        if state.step % self.every == 0:
            updates = self.average.count
            decay = min(self.decay, (1 + updates) / (10 + updates)) if self.warmup else self.decay
            self.average.update(1 - decay)
