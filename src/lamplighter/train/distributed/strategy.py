"""How the processes of one training work together. `Strategy` itself is the usual case: there is only one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from lamplighter.tasks.base import Loss, Task


class Strategy:
    """One process alone; base of those for several.

    Attributes:
        name: ``single``, ``ddp`` or ``fsdp``.
        rank: number of this process.
        world: how many there are.
    """

    name = "single"
    rank = 0
    world = 1

    @property
    def main(self) -> bool:
        """Whether this process writes files and speaks to people."""
        return self.rank == 0

    def prepare(self, task: Task) -> None:
        """Make every process start from the same weights; before optimizers are made."""

    def advance(self, phase: Iterator[Loss], first: bool, last: bool) -> Loss | None:
        """The next loss of a micro-batch.

        Args:
            phase: the task's generator.
            first: whether it is the generator's first loss.
            last: whether it is the step's last micro-batch, after which gradients are exchanged.
        """
        return next(phase, None)

    def reduce(self, parameters: Sequence[nn.Parameter], numbers: Sequence[float]) -> list[float]:
        """Make each gradient the sum over all processes; return the sums of some numbers, too."""
        return list(numbers)

    def sum(self, numbers: Sequence[float]) -> list[float]:
        """Sums over all processes, in float64."""
        return list(numbers)

    def gather(self, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Rows of all processes, one process after the other."""
        return tensors

    def barrier(self) -> None:
        """Wait for the others."""

    def once(self, make: Callable[[], str]) -> str:
        """A text that the first process makes, for all; an error it meets is raised in all."""
        return make()

    def share(self, text: str | None) -> str:
        """The text that the first process has, for all."""
        assert text is not None
        return text

    def full(self, value: Any) -> Any:
        """A tensor that is spread over the processes, whole; anything else as it is."""
        return value

    def no_collectives(self) -> contextlib.AbstractContextManager[Any]:
        """Inside, weights can be read without the other processes."""
        return contextlib.nullcontext()
