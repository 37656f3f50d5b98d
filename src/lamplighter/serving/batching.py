"""Concurrent requests computed together by one worker thread, without a timer.

The worker takes whatever waits, up to ``max_batch`` rows, and computes it; while it computes, the next batch gathers.
Nobody waits for a batch to fill, so one client alone sees no delay (the queueing theorist's "work-conserving" server).
"""

from __future__ import annotations

import asyncio
import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lamplighter.bundle.runtime.bundle import shifted
from lamplighter.core.errors import InputError
from lamplighter.serving.errors import DeadlineError, RequestError, UnavailableError

logger = logging.getLogger(__name__)

Tensors = dict[str, np.ndarray]
Answer = dict[str, Any]
Compute = Callable[[Tensors], tuple[Tensors, list[Answer]]]


class Job:
    """One request's rows on their way through the worker.

    Args:
        rows: raw rows, kept for the monitor's features.
        tensors: what preprocessing made of them, first dimension rows.
        ids: one prediction id for each row.
        future: resolved with one answer for each row, on the event loop that made it.
        arrived: ``time.monotonic()`` of the request; the deadline counts from here.
        padded: whether rows of other shapes may share its batch.

    Attributes:
        answers: one for each row computed so far.
        outputs: of the network, part by part in the order of the rows.
    """

    __slots__ = ("answers", "arrived", "failed", "future", "ids", "key", "outputs", "rows", "size", "taken", "tensors")

    def __init__(
        self,
        rows: list[Any],
        tensors: Tensors,
        ids: list[str],
        future: asyncio.Future[list[Answer]],
        arrived: float,
        padded: bool = False,
    ) -> None:
        self.rows = rows
        self.tensors = tensors
        self.ids = ids
        self.future = future
        self.size = len(rows)
        self.key = tuple((name, a.dtype.str, a.ndim if padded else a.shape[1:]) for name, a in tensors.items())
        self.arrived = arrived
        self.taken = 0
        self.failed = False
        self.answers: list[Answer] = []
        self.outputs: list[Tensors] = []

    @property
    def dead(self) -> bool:
        """Nobody waits any more: the client left, or an earlier part failed."""
        return self.failed or self.future.done()


@dataclass(frozen=True, slots=True)
class Part:
    """Rows ``start`` to ``stop`` of a job, computed in one batch."""

    job: Job
    start: int
    stop: int

    def of(self, tensors: Tensors) -> Tensors:
        """These rows of what belongs to the whole job."""
        if self.stop - self.start == self.job.size:
            return tensors
        return {name: array[self.start : self.stop] for name, array in tensors.items()}


Record = Callable[[list[Job]], None]


class Batcher:
    """A bounded queue of rows and the thread that computes them.

    Args:
        compute: tensors of a batch -> (what the monitor needs of the outputs, one answer for each row). Called on the
            worker thread only.
        record: told about requests of which every row has its answer, just before the answers leave, on the same
            thread, so it must be quick. Requests that failed or were given up are never recorded. Its failure is logged
            and never reaches a client.
        max_batch: rows computed together at most; a request of more rows is split.
        max_queue: rows admitted and not yet computed at most.
        deadline: seconds after which a waiting request is given up.
        pads: what fills up shorter rows of padded jobs, by tensor.
        name: of the thread, for debuggers and logs.
    """

    def __init__(
        self,
        compute: Compute,
        record: Record,
        *,
        max_batch: int,
        max_queue: int,
        deadline: float = 30.0,
        pads: Mapping[str, int] | None = None,
        name: str = "batcher",
    ) -> None:
        self.compute = compute
        self.record = record
        self.max_batch = max_batch
        self.max_queue = max_queue
        self.deadline = deadline
        self.pads = pads
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._ahead: Job | None = None  # taken from the queue, but of another shape than the batch being gathered
        # Two counters with one writer each need no lock: the event loop admits, the worker takes.
        self._admitted = 0
        self._taken = 0
        self._batch_seconds = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    @property
    def waiting(self) -> int:
        """Rows admitted and not yet handed to the model."""
        return self._admitted - self._taken

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the worker; answers are delivered on ``loop``."""
        self._loop = loop
        self._thread.start()

    async def stop(self) -> None:
        """Refuse new work, finish what was admitted, end the thread."""
        self._stopping = True
        self._queue.put(None)
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)

    def admit(self, rows: int) -> None:
        """Reserve room for ``rows``, on the event loop, before the work of preprocessing them is spent.

        Raises:
            RequestError: 413, more rows than would ever fit.
            UnavailableError: 503, no room now, or the server is stopping.
        """
        if self._loop is None or self._stopping:
            raise UnavailableError("the server is shutting down" if self._stopping else "the server is starting")
        if rows > self.max_queue:
            raise RequestError(f"{rows} rows in one request; send at most {self.max_queue}", 413)
        if self.waiting + rows > self.max_queue:
            self.refuse()
        self._admitted += rows

    def refuse(self) -> None:
        """Say that the queue is full, and when to come back.

        Raises:
            UnavailableError: always.
        """
        seconds = self.waiting / self.max_batch * self._batch_seconds
        raise UnavailableError(
            f"the queue is full ({self.waiting} rows are waiting, at most {self.max_queue} may)",
            retry_after=max(1, math.ceil(seconds)),
        )

    def release(self, rows: int) -> None:
        """Give reserved room back when the rows turned out not to be computable."""
        self._admitted -= rows
        if self._stopping:
            self._queue.put(None)  # the worker may be waiting for these rows before it ends

    def submit(self, job: Job) -> None:
        """Queue admitted rows; the result arrives in ``job.future``."""
        self._queue.put(job)

    def _work(self) -> None:
        while parts := self._gather():
            started = time.monotonic()
            self._finish(self._run(parts))
            self._batch_seconds += 0.1 * (time.monotonic() - started - self._batch_seconds)

    def _gather(self) -> list[Part]:
        """The next batch; waits for the first row only. Empty when the batcher was stopped and all work is done."""
        parts: list[Part] = []
        room = self.max_batch
        while room:
            job = self._next(wait=not parts)
            if job is None:
                break
            if job.dead:
                self._taken += job.size - job.taken
                continue
            if time.monotonic() - job.arrived > self.deadline:
                self._taken += job.size - job.taken
                self._fail(job, DeadlineError(self.deadline))
                continue
            if parts and job.key != parts[0].job.key:
                self._ahead = job
                break
            part = Part(job, job.taken, min(job.size, job.taken + room))
            parts.append(part)
            job.taken = part.stop
            self._taken += part.stop - part.start
            room -= part.stop - part.start
            if job.taken < job.size:
                self._queue.put(job)  # to the back: a request of many rows must not hold up the small ones
        return parts

    def _next(self, wait: bool) -> Job | None:
        """The first job in the queue; ``None`` if there is none (and, when waiting, only after `stop`)."""
        if self._ahead is not None:
            job, self._ahead = self._ahead, None
            return job
        while True:
            ending = self._stopping and self.waiting == 0
            try:
                item = self._queue.get(block=wait and not ending)
            except queue.Empty:
                return None
            if item is not None:
                return item

    def _run(self, parts: list[Part]) -> list[Job]:
        """Compute a batch; the jobs it was part of. If it fails, each request is tried alone, so that a bad one fails
        by itself."""
        try:
            outputs, answers = self.compute(joined([part.of(part.job.tensors) for part in parts], self.pads))
            rows = sum(part.stop - part.start for part in parts)
            if len(answers) != rows or any(len(output) != rows for output in outputs.values()):
                raise RuntimeError(f"the model gave {len(answers)} answers for {rows} rows")
        except Exception as error:  # noqa: BLE001 - handed to the request it belongs to
            if len(parts) == 1:
                self._fail(parts[0].job, shifted(error, parts[0].start) if isinstance(error, InputError) else error)
                return []
            return [job for part in parts if not part.job.dead for job in self._run([part])]
        position = 0
        for part in parts:
            following = position + part.stop - part.start
            part.job.answers += answers[position:following]
            part.job.outputs.append({name: output[position:following] for name, output in outputs.items()})
            position = following
        return [part.job for part in parts]

    def _finish(self, jobs: list[Job]) -> None:
        """Record complete requests, then hand them to the event loop: one call for the whole batch."""
        complete = [job for job in jobs if len(job.answers) == job.size and not job.dead]
        if not complete:
            return
        try:
            self.record(complete)
        except Exception:
            logger.exception("the monitor did not record %d predictions", sum(job.size for job in complete))
        self._on_loop(_deliver, complete)

    def _fail(self, job: Job, error: Exception) -> None:
        job.failed = True
        self._on_loop(_deliver_error, job, error)

    def _on_loop(self, callback: Callable[..., None], *arguments: Any) -> None:
        assert self._loop is not None, "the worker runs only after start()"
        self._loop.call_soon_threadsafe(callback, *arguments)


def joined(tensors: list[Tensors], pads: Mapping[str, int] | None = None) -> Tensors:
    """The rows of all of them, in order; where shapes differ, shorter ones are filled up.

    Args:
        tensors: arrays by name, the same names in each.
        pads: what to fill up with, by name; 0 for others.

    >>> joined([{"x": np.array([[1, 2]])}, {"x": np.array([[3]])}], {"x": -1})["x"].tolist()
    [[1, 2], [3, -1]]
    """
    if len(tensors) == 1:
        return tensors[0]
    pads = pads or {}
    return {name: _joined([one[name] for one in tensors], pads.get(name, 0)) for name in tensors[0]}


def _joined(arrays: list[np.ndarray], pad: int) -> np.ndarray:
    if all(array.shape[1:] == arrays[0].shape[1:] for array in arrays):
        return np.concatenate(arrays)
    sizes = np.max([array.shape[1:] for array in arrays], axis=0)
    filled = [
        np.pad(array, [(0, 0), *((0, n - m) for n, m in zip(sizes, array.shape[1:]))], constant_values=pad)
        for array in arrays
    ]
    return np.concatenate(filled)


def _deliver(jobs: list[Job]) -> None:
    for job in jobs:
        if not job.future.done():
            job.future.set_result(job.answers)


def _deliver_error(job: Job, error: Exception) -> None:
    if not job.future.done():
        job.future.set_exception(error)
