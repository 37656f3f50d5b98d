"""Stochastic weight averaging."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lamplighter.train.callbacks.averaged import AveragedWeights
from lamplighter.train.callbacks.base import State


class SWA(AveragedWeights):
    """Judges, keeps and exports the plain mean of the weights at the end of each late epoch (Izmailov et al. 2018).

    The weights must still move for their mean to be worth anything, so the learning rate should stay high at the end:
    use ``schedule: {name: constant}``, or ``wsd`` with a short decay; under ``one-cycle`` the last weights hardly
    differ. Before ``start``, and when training ends earlier, the trained weights themselves are judged.

    Statistics of batch normalisation are estimated anew at each validation by a pass over the training rows: those of
    the trained network belong to other weights.

    Args:
        start: share of the training after which averaging begins; weights right there are the first to count.
        every: ``epoch``: weights at the end of each epoch; or a number of optimizer steps.
        batches: training batches that statistics of batch normalisation are estimated from; null: all.
    """

    def __init__(
        self,
        start: Annotated[float, Field(ge=0, lt=1)] = 0.75,
        every: Annotated[int, Field(ge=1)] | Literal["epoch"] = "epoch",
        batches: Annotated[int, Field(ge=1)] | None = None,
    ) -> None:
        super().__init__("reestimate", batches)
        self.start = start
        self.every = every

    def on_train_start(self, state: State) -> None:
        if self._too_early(state):  # a finished run that goes on for more epochs: its mean has to wait again
            self.load_state_dict({"count": 0, "averages": {}})
        super().on_train_start(state)

    def on_step_end(self, state: State) -> None:
        assert self.average is not None
        every = state.steps_per_epoch if self.every == "epoch" else self.every
        if state.step % every == 0 and not self._too_early(state):
            self.average.update(1 / (self.average.count + 1))

    def _too_early(self, state: State) -> bool:
        return state.step < self.start * state.total_steps
