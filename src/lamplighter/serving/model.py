"""One model being served: its bundle, its batcher, its monitor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from lamplighter.core.recipe import Serve
from lamplighter.serving.batching import Answer, Batcher, Job, Part, Tensors
from lamplighter.serving.errors import ClientGoneError
from lamplighter.serving.ids import Ids
from lamplighter.serving.metrics import Metrics

if TYPE_CHECKING:
    from lamplighter.bundle.runtime import Bundle
    from lamplighter.monitor.service import Monitor

_INLINE_ROWS = 64
"""Rows of a table preprocessed on the event loop: below this the way to a thread and back costs more than the work."""
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
        self.batcher = Batcher(
            self._compute,
            self._record,
            max_batch=serve.max_batch,
            max_queue=serve.max_queue,
            deadline=serve.deadline_seconds,
            name=f"model-{self.name}",
        )
        self.metrics = metrics.model(self.name, self.version, lambda: self.batcher.waiting)
        self._ids = Ids()
        self._pool = pool
        self._decodes = any(column.kind in ("image", "array") for column in self.signature.inputs)

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
            if self._decodes or len(rows) > _INLINE_ROWS:
                tensors = await loop.run_in_executor(self._pool, self.bundle.preprocess, rows)
            else:
                tensors = self.bundle.preprocess(rows)
            job = Job(rows, tensors, self._ids.take(len(rows)), loop.create_future(), arrived)
        except BaseException:
            self.batcher.release(len(rows))
            raise
        self.batcher.submit(job)
        answers = await _answer(job.future, gone, loop)
        return [{"id": id_, **answer} for id_, answer in zip(job.ids, answers)]

    def _compute(self, tensors: Tensors) -> tuple[Tensors, list[Answer]]:
        started = time.perf_counter()
        outputs = self.bundle.run(tensors)
        answers = self.bundle.postprocess(outputs)
        self.metrics.computed(len(answers), time.perf_counter() - started)
        return outputs, answers

    def _record(self, parts: list[Part], tensors: Tensors, outputs: Tensors) -> None:
        if self.monitor is None:
            return
        rows = [row for part in parts for row in part.job.rows[part.start : part.stop]]
        features = self.bundle.features(rows, tensors, outputs)
        scores = self.bundle.scores_of(outputs)
        now = time.monotonic()
        position = 0
        for part in parts:
            following = position + part.stop - part.start
            self.monitor.record(
                part.job.ids[part.start : part.stop],
                features[position:following],
                scores[position:following],
                now - part.job.arrived,
            )
            position = following


def warm_up(bundle: Bundle, max_batch: int) -> None:
    """Run one row and one full batch of zeros, so that the first clients do not pay for the first use."""
    specs = bundle.manifest.signature.tensors
    if any(None in spec.shape for spec in specs):
        return
    for rows in (1, max_batch):
        shapes = {spec.name: (rows, *(size or 0 for size in spec.shape)) for spec in specs}
        bundle.run({spec.name: np.zeros(shapes[spec.name], spec.dtype) for spec in specs})


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
