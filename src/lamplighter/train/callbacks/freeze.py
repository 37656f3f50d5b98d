"""Freeze part of the network for the first epochs, then let it learn, at once or block by block."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lamplighter.core.errors import TrainingError
from lamplighter.train import freezing
from lamplighter.train.callbacks.base import Callback, State
from lamplighter.train.freezing import Block, Frozen


class Freeze(Callback):
    """Keeps blocks frozen until an epoch: the new head learns first, and its first, wild gradients spoil nothing below.

    Frozen blocks do not learn, do not decay, and their running statistics stay (see `lamplighter.train.freezing`).
    With ``gradual``, each epoch after that one more block learns, from the head down (Howard and Ruder 2018,
    "Universal Language Model Fine-tuning"). What is frozen depends on the epoch alone, so a resumed run goes on alike.
    Parameters are in the optimizer all the time; those without a gradient are passed over.

    Args:
        up_to: how many blocks, counted from the input; or the name of the last one; or ``head``: all below the head.
        match: in place of ``up_to``, first parts of dotted names (``layer1``), the nearest to the input first.
        until_epoch: epochs with all of it frozen; null: the whole training.
        gradual: then release one block each epoch, the last first; otherwise all at once.
    """

    def __init__(
        self,
        up_to: Annotated[int, Field(ge=0)] | str = freezing.HEAD,
        match: tuple[Annotated[str, Field(min_length=1)], ...] = (),
        until_epoch: Annotated[int, Field(ge=0)] | None = 1,
        gradual: bool = False,
    ) -> None:
        if gradual and until_epoch is None:
            raise TrainingError("callback freeze: gradual needs until_epoch, the epochs before the first release")
        self.up_to = up_to
        self.match = match
        self.until_epoch = until_epoch
        self.gradual = gradual
        self.blocks: list[Block] = []
        self.frozen: list[Frozen] = []

    def on_train_start(self, state: State) -> None:
        if self.match:
            self.blocks = [freezing.matching(state.task, start) for start in self.match]
        else:
            self.blocks = freezing.first(state.task, self.up_to)
        self._bring_to(state)

    def on_epoch_start(self, state: State) -> None:
        self._bring_to(state)

    def on_train_end(self, state: State) -> None:
        while self.frozen:
            self.frozen.pop().release(state.task.training)

    def still_frozen(self, epoch: int) -> int:
        """How many of the blocks are frozen in an epoch.

        Args:
            epoch: epochs completed before it.
        """
        if self.until_epoch is None or epoch < self.until_epoch:
            return len(self.blocks)
        return max(0, len(self.blocks) - (epoch - self.until_epoch + 1)) if self.gradual else 0

    def _bring_to(self, state: State) -> None:
        wanted = self.still_frozen(state.epoch)
        while len(self.frozen) < wanted:
            self.frozen.append(Frozen([self.blocks[len(self.frozen)]]))
        while len(self.frozen) > wanted:
            self.frozen.pop().release()
