"""The batcher by itself: what is computed together, what is refused, and how it ends."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from typing import Any

import numpy as np
import pytest

from lamplighter.core.errors import InputError, LamplighterError
from lamplighter.serving.batching import Answer, Batcher, Job, Tensors
from lamplighter.serving.errors import DeadlineError, RequestError, UnavailableError


class Harness:
    """A batcher whose network doubles; the worker computes only while ``go`` is set."""

    def __init__(self, **options: Any) -> None:
        self.go = threading.Event()
        self.go.set()
        self.shapes: list[tuple[int, ...]] = []
        self.recorded: list[tuple[list[str], list[float]]] = []
        self.batcher = Batcher(self.compute, self.record, **{"max_batch": 4, "max_queue": 100, **options})

    def compute(self, tensors: Tensors) -> tuple[Tensors, list[Answer]]:
        self.go.wait(20)
        x = tensors["x"]
        self.shapes.append(x.shape)
        if (x == 13).any():
            raise ValueError("unlucky")
        return {"value": 2 * x}, [{"value": float(row.flat[0])} for row in 2 * x]

    def record(self, jobs: list[Job]) -> None:
        for job in jobs:
            outputs = np.concatenate([part["value"] for part in job.outputs])
            self.recorded.append((job.ids, outputs.reshape(job.size, -1)[:, 0].tolist()))

    def submit(self, values: list[float], width: int = 1) -> asyncio.Future[list[Answer]]:
        self.batcher.admit(len(values))
        x = np.repeat(np.array(values, np.float32)[:, None], width, axis=1)
        future: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        self.batcher.submit(Job(list(values), {"x": x}, [str(v) for v in values], future, time.monotonic()))
        return future

    async def occupy(self) -> asyncio.Future[list[Answer]]:
        """Stop the worker inside a batch of one row, so that what follows gathers."""
        self.go.clear()
        future = self.submit([-1])
        while self.batcher.waiting:
            await asyncio.sleep(0.001)
        return future


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 20))


async def values_of(future: asyncio.Future[list[Answer]]) -> list[float]:
    return [answer["value"] for answer in await future]


def test_rows_that_wait_are_computed_together_and_split_at_max_batch() -> None:
    async def scenario() -> None:
        h = Harness()
        h.batcher.start(asyncio.get_running_loop())
        first = await h.occupy()
        futures = [h.submit([10, 11]), h.submit([20]), h.submit([30, 31, 32, 33, 34, 35, 36]), h.submit([40])]
        h.go.set()
        assert await values_of(first) == [-2]
        assert [await values_of(f) for f in futures] == [
            [20, 22],
            [40],
            [60, 62, 64, 66, 68, 70, 72],
            [80],
        ]
        # one row of the long request fills the first batch, then it queues up behind the short one
        assert [shape[0] for shape in h.shapes] == [1, 4, 4, 3]
        assert [len(ids) for ids, _ in h.recorded] == [1, 2, 1, 1, 7], "each request once, when it is complete"
        assert all([2 * float(id_) for id_ in ids] == values for ids, values in h.recorded)
        await h.batcher.stop()

    run(scenario())


def test_shapes_are_not_mixed() -> None:
    async def scenario() -> None:
        h = Harness()
        h.batcher.start(asyncio.get_running_loop())
        await h.occupy()
        futures = [h.submit([1], width=2), h.submit([2], width=2), h.submit([3], width=5), h.submit([4], width=2)]
        h.go.set()
        assert [await values_of(f) for f in futures] == [[2], [4], [6], [8]]
        assert h.shapes[1:] == [(2, 2), (1, 5), (1, 2)]
        await h.batcher.stop()

    run(scenario())


def test_a_failing_request_fails_alone_and_only_once() -> None:
    async def scenario() -> None:
        h = Harness()
        h.batcher.start(asyncio.get_running_loop())
        await h.occupy()
        good, bad, other = h.submit([1]), h.submit([13, 1, 1, 1, 1, 1, 1]), h.submit([2])
        h.go.set()
        assert await values_of(good) == [2]
        with pytest.raises(ValueError, match="unlucky"):
            await bad
        assert await values_of(other) == [4]
        assert h.batcher.waiting == 0
        assert [ids for ids, _ in h.recorded] == [["-1"], ["1"], ["2"]]
        await h.batcher.stop()

    run(scenario())


def test_a_wrong_row_is_named_by_its_place_in_the_request_and_nothing_of_it_is_recorded() -> None:
    async def scenario() -> None:
        h = Harness(max_batch=32, max_queue=200)

        def compute(tensors: Tensors) -> tuple[Tensors, list[Answer]]:
            x = tensors["x"]
            if (x == 40).any():
                raise InputError("must not be 40", row=int(np.argmax(x == 40)), field="x")
            return {"value": x}, [{"value": float(v)} for v in x[:, 0]]

        h.batcher.compute = compute
        h.batcher.start(asyncio.get_running_loop())
        with pytest.raises(InputError) as error:
            await h.submit([float(i) for i in range(100)])
        assert (error.value.row, error.value.field) == (40, "x")
        assert await values_of(h.submit([1])) == [1]
        assert [ids for ids, _ in h.recorded] == [["1"]]
        await h.batcher.stop()

    run(scenario())


def test_a_request_whose_client_leaves_half_way_is_not_recorded() -> None:
    async def scenario() -> None:
        h = Harness(max_batch=2)
        h.batcher.start(asyncio.get_running_loop())
        await h.occupy()
        left = h.submit([7, 8])
        h.go.clear()
        real, inside = h.batcher.compute, asyncio.Event()
        loop = asyncio.get_running_loop()

        def compute(tensors: Tensors) -> tuple[Tensors, list[Answer]]:
            loop.call_soon_threadsafe(inside.set)
            time.sleep(0.1)
            return real(tensors)

        h.batcher.compute = compute
        h.go.set()
        await inside.wait()
        left.cancel()
        assert await values_of(h.submit([9])) == [18]
        assert [ids for ids, _ in h.recorded] == [["-1"], ["9"]]
        await h.batcher.stop()

    run(scenario())


def test_wrong_number_of_answers_is_an_error_not_a_mix_up() -> None:
    async def scenario() -> None:
        h = Harness()
        h.batcher.compute = lambda tensors: ({"value": tensors["x"]}, [{"value": 0.0}])
        h.batcher.start(asyncio.get_running_loop())
        with pytest.raises(RuntimeError, match="1 answers for 2 rows"):
            await h.submit([1, 2])
        await h.batcher.stop()

    run(scenario())


def test_the_queue_is_counted_in_rows() -> None:
    async def scenario() -> None:
        h = Harness(max_queue=5)
        h.batcher.start(asyncio.get_running_loop())
        await h.occupy()
        future = h.submit([1, 2, 3])
        with pytest.raises(UnavailableError, match=r"full \(3 rows") as refused:
            h.submit([4, 5, 6])
        assert refused.value.status == 503 and (b"retry-after", b"1") in refused.value.headers
        with pytest.raises(RequestError, match="at most 5") as too_many:
            h.submit([0] * 6)
        assert too_many.value.status == 413
        fits = h.submit([4, 5])
        h.go.set()
        assert await values_of(future) + await values_of(fits) == [2, 4, 6, 8, 10]
        assert h.batcher.waiting == 0
        await h.batcher.stop()

    run(scenario())


def test_a_cancelled_request_is_dropped_before_compute() -> None:
    async def scenario() -> None:
        h = Harness()
        h.batcher.start(asyncio.get_running_loop())
        await h.occupy()
        left, stays = h.submit([7, 8]), h.submit([9])
        left.cancel()
        h.go.set()
        assert await values_of(stays) == [18]
        assert h.shapes[1:] == [(1, 1)]
        assert h.batcher.waiting == 0
        await h.batcher.stop()

    run(scenario())


def test_a_request_past_its_deadline_is_given_up() -> None:
    async def scenario() -> None:
        h = Harness(deadline=0.1)
        h.batcher.start(asyncio.get_running_loop())
        first = await h.occupy()
        late = h.submit([1])
        await asyncio.sleep(0.2)
        h.go.set()
        with pytest.raises(DeadlineError) as error:
            await late
        assert error.value.status == 504
        assert await values_of(first) == [-2], "what was being computed in time is answered"
        assert len(h.shapes) == 1
        await h.batcher.stop()

    run(scenario())


def test_stop_finishes_what_was_admitted_even_if_it_arrives_later() -> None:
    async def scenario() -> None:
        h = Harness()
        h.batcher.start(asyncio.get_running_loop())
        await h.occupy()
        waiting = h.submit(list(range(9)))
        h.batcher.admit(1)  # a request whose rows are still being preprocessed
        h.batcher.admit(2)  # and one whose rows will turn out to be wrong
        stopping = asyncio.create_task(h.batcher.stop())
        await asyncio.sleep(0.05)
        with pytest.raises(UnavailableError, match="shutting down"):
            h.batcher.admit(1)
        h.go.set()
        assert await values_of(waiting) == [2.0 * i for i in range(9)]
        assert not stopping.done()
        future: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        h.batcher.submit(Job([5], {"x": np.array([[5.0]])}, ["5"], future, time.monotonic()))
        assert await values_of(future) == [10]
        h.batcher.release(2)
        await stopping
        assert not h.batcher._thread.is_alive()

    run(scenario())


def test_before_start_nothing_is_taken() -> None:
    with pytest.raises(LamplighterError, match="starting"):
        Harness().batcher.admit(1)
