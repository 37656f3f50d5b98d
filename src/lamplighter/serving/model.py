"""One model being served: its bundle, its batcher, its monitor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from lamplighter.core.recipe import Serve
from lamplighter.serving.batching import Answer, Batcher, Job, Tensors, joined
from lamplighter.serving.errors import ClientGoneError
from lamplighter.serving.ids import Ids
from lamplighter.serving.metrics import Metrics

if TYPE_CHECKING:
    from lamplighter.bundle.runtime import Bundle
    from lamplighter.monitor.service import Described, Monitor

_INLINE_ROWS = 64
"""Rows of a table preprocessed on the event loop: below this the way to a thread and back costs more than the work."""
_INLINE_CHARACTERS = 20_000
"""The same of texts: so many characters are tokenised in about five milliseconds."""
_PATIENCE = 0.02
"""Seconds to wait for an answer before watching whether the client is still there; watching costs a task."""


class ServedModel:
    """Answers rows of one bundle.

    Args:
        bundle: loaded.
        serve: limits.
        monitor: told about every prediction; ``None``: nobody is.
        metrics: of the application.
        pool: threads for preprocessing.

    Attributes:
        max_body: bytes of a request at most.
    """

    def __init__(
        self,
        bundle: Bundle,
        serve: Serve,
        monitor: Monitor | None,
        metrics: Metrics,
        pool: ThreadPoolExecutor,
    ) -> None:
        self.bundle = bundle
        self.manifest = bundle.manifest
        self.signature = bundle.manifest.signature
        self.name = bundle.manifest.name
        self.version = bundle.manifest.version
        self.monitor = monitor
        self.max_body = round(serve.max_body_mb * 1e6)
        self._pads = {spec.name: spec.pad for spec in self.signature.tensors if spec.pad is not None}
        self.batcher = Batcher(
            self._compute,
            self._record,
            max_batch=serve.max_batch,
            max_queue=serve.max_queue,
            deadline=serve.deadline_seconds,
            pads=self._pads,
            name=f"model-{self.name}",
        )
        self.metrics = metrics.model(self.name, self.version, lambda: self.batcher.waiting)
        self._ids = Ids()
        self._pool = pool
        self._decodes = any(column.kind in ("image", "array") for column in self.signature.inputs)
        self._reads = any(column.kind == "text" for column in self.signature.inputs)

    async def predict(self, rows: list[Any], gone: Callable[[], Awaitable[None]]) -> list[Answer]:
        """One answer for each row, with its id.

        Args:
            rows: as ``Bundle.preprocess`` takes them.
            gone: returns when the client has left; awaited only if the answer takes long.

        Raises:
            LamplighterError: the rows do not fit, there is no room, or the deadline passed.
            ClientGoneError: nobody waits any more; rows not yet computed never will be.
        """
        loop = asyncio.get_running_loop()
        arrived = time.monotonic()
        self.batcher.admit(len(rows))
        try:
            if self._decodes or len(rows) > _INLINE_ROWS or (self._reads and _characters(rows) > _INLINE_CHARACTERS):
                tensors = await loop.run_in_executor(self._pool, self.bundle.preprocess, rows)
            else:
                tensors = self.bundle.preprocess(rows)
            ids = self._ids.take(len(rows))
            job = Job(rows, tensors, ids, loop.create_future(), arrived, padded=bool(self._pads))
        except BaseException:
            self.batcher.release(len(rows))
            raise
        self.batcher.submit(job)
        answers = await _answer(job.future, gone, loop)
        return [{"id": id_, **answer} for id_, answer in zip(job.ids, answers)]

    def _compute(self, tensors: Tensors) -> tuple[Tensors, list[Answer]]:
        started = time.perf_counter()
        outputs = self.bundle.run(tensors)
        kind = self.bundle.kind
        answers = [kind.plain(answer) for answer in self.bundle.postprocess(outputs, tensors)]
        self.metrics.computed(len(answers), time.perf_counter() - started)
        return kind.kept(outputs, tensors), answers

    def _record(self, jobs: list[Job]) -> None:
        """Leave the predictions with the monitor; it computes their features on a thread of its own."""
        if self.monitor is None:
            return
        now = time.monotonic()
        requests = [(job.ids, now - job.arrived) for job in jobs]
        size = sum(array.nbytes for job in jobs for array in job.tensors.values())
        self.monitor.record_later(requests, lambda: self._describe(jobs), size)

    def _describe(self, jobs: list[Job]) -> Described:
        """Features, scores and answers of all rows of some jobs; a batch of rows at a time, as they were computed."""
        rows = [row for job in jobs for row in job.rows]
        tensors = joined([job.tensors for job in jobs], self._pads)
        outputs = joined([part for job in jobs for part in job.outputs])
        features = []
        for start in range(0, len(rows), self.batcher.max_batch):
            these = slice(start, start + self.batcher.max_batch)
            some = [{name: array[these] for name, array in arrays.items()} for arrays in (tensors, outputs)]
            features.append(self.bundle.features(rows[these], *some))
        answers = [answer for job in jobs for answer in job.answers]
        return np.concatenate(features), self.bundle.scores_of(outputs, tensors), answers


def warm_up(bundle: Bundle, max_batch: int) -> None:
    """Run one row and one full batch of zeros, so that the first clients do not pay for the first use."""
    specs = bundle.manifest.signature.tensors
    if any(None in spec.shape for spec in specs):
        return
    for rows in (1, max_batch):
        shapes = {spec.name: (rows, *(size or 0 for size in spec.shape)) for spec in specs}
        bundle.run({spec.name: np.zeros(shapes[spec.name], spec.dtype) for spec in specs})


def _characters(rows: list[Any]) -> int:
    """Characters of the texts of rows, of lists of words about so many."""
    values = (value for row in rows for value in (row.values() if isinstance(row, dict) else [row]))
    return sum(len(value) * (1 if isinstance(value, str) else 8) for value in values if isinstance(value, str | list))


async def _answer(
    future: asyncio.Future[list[Answer]], gone: Callable[[], Awaitable[None]], loop: asyncio.AbstractEventLoop
) -> list[Answer]:
    watchers: list[asyncio.Task[None]] = []
    timer = loop.call_later(_PATIENCE, lambda: watchers.append(loop.create_task(_abandon(future, gone))))
    try:
        return await future
    finally:
        timer.cancel()
        for watcher in watchers:
            watcher.cancel()


async def _abandon(future: asyncio.Future[list[Answer]], gone: Callable[[], Awaitable[None]]) -> None:
    await gone()
    if not future.done():
        future.set_exception(ClientGoneError())
