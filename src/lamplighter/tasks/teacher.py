"""A finished run as the teacher of another: its network, frozen, and its answers to the training rows.

Legend: N rows of a batch, R rows of the training split, K classes, D width of the embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from lamplighter.core.errors import DataError, RunError
from lamplighter.data.source import Batch, Rows
from lamplighter.tasks.base import Task

CHUNK = 512
"""Rows the teacher answers at a time: fixed, so that a resumed run gets the same answers bit for bit."""


@dataclass(frozen=True)
class FinishedRun:
    """A finished run that fits the data of the present one: same labels, same tensors, no row of the present
    validation or test split among its training rows.

    Attributes:
        run: its directory.
        task: with its best weights, on the CPU, in eval mode.
        digest: sha256 of those weights.
        judge: computes its ``logits`` and the labels ``y`` of the present validation rows.
    """

    run: str
    task: Task
    digest: str
    judge: Callable[[], dict[str, np.ndarray]]


OpenRun = Callable[[str], FinishedRun]
"""Directory of a run -> the run, checked against the present data."""


class Teacher:
    """Answers batches with a finished run's network, from memory where it can.

    Without augmentation a row looks the same in every epoch, so the teacher answers the whole training split once, when
    the first step asks. With augmentation an answer to the plain row would be the answer to another question, so each
    batch is answered as the student sees it.

    What answers is the exported network: a copy in eval mode without gradients, of which nothing moves, not even the
    running statistics of a BatchNorm.

    Args:
        run: directory of the run, opened when its answers are first needed.
        open_run: opens it.
        names: of the tensors it takes, in order.
        rows: the training split; None: answer each batch.
        digest: sha256 of its weights; None: whatever they are.
    """

    def __init__(
        self, run: str, open_run: OpenRun, names: Sequence[str], rows: Rows | None = None, digest: str | None = None
    ) -> None:
        self.run = run
        self.open_run = open_run
        self.names = tuple(names)
        self.rows = rows
        self.digest = digest
        self.answers: tuple[Tensor, ...] | None = None
        self._network: nn.Module | None = None

    def __deepcopy__(self, memo: dict[int, object]) -> Teacher:
        """Copies of a student learn from one teacher: nothing of it ever changes."""
        return self

    def __call__(self, batch: Batch) -> tuple[Tensor, ...]:
        """Logits (N, K), and the embedding (N, D) of a network that has one, without gradients, in float32.

        Raises:
            RunError: the weights are not those of ``digest``.
        """
        if self.rows is None or "index" not in batch:
            return self._answer(batch)
        if self.answers is None:
            self.answers = self._answer_all(self.rows, batch[self.names[0]].device)
        return tuple(answer[batch["index"]] for answer in self.answers)

    def open(self) -> FinishedRun:
        """The run, as `open_run` gives it."""
        opened = self.open_run(self.run)
        if self.digest not in (None, opened.digest):
            raise RunError(
                f"{self.run}: the teacher's weights are not those that this training began with; bring them back, or "
                "start anew (--force)"
            )
        self.digest = opened.digest
        self._network = opened.task.export().module
        return opened

    def width(self, rows: Rows) -> int:
        """D, found by answering one row.

        Raises:
            DataError: the network has no embedding.
        """
        answer = self._answer(rows.fetch(np.arange(1)))
        if len(answer) < 2:
            raise DataError(
                f"task.features: the network of {self.run} has no forward_features and head, so it has no embedding to "
                "learn from; leave out features"
            )
        return answer[1].shape[1]

    def _answer(self, batch: Batch) -> tuple[Tensor, ...]:
        if self._network is None:
            self.open()
        assert self._network is not None
        tensors = [batch[name] for name in self.names]
        device = tensors[0].device
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            outputs: tuple[Tensor, ...] = self._network.to(device)(*tensors)
        return outputs

    def _answer_all(self, rows: Rows, device: torch.device) -> tuple[Tensor, ...]:
        parts = []
        for start in range(0, len(rows), CHUNK):
            batch = rows.fetch(np.arange(start, min(start + CHUNK, len(rows))))
            parts.append(self._answer({name: batch[name].to(device) for name in self.names}))
        return tuple(torch.cat(answers) for answers in zip(*parts))
