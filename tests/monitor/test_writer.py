"""The writer never blocks, drops what does not fit, and outlives trouble with the store."""

from __future__ import annotations

import itertools
import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from lamplighter.bundle.manifest import Output
from lamplighter.monitor.records import Predictions
from lamplighter.monitor.store import Store
from lamplighter.monitor.writer import Writer

OUTPUT = Output(kind="classification", labels=("a", "b"))


def _chunk(name: str, rows: int = 1, width: int = 2) -> Predictions:
    ids = [f"{name}-{i}" for i in range(rows)]
    return Predictions.copy_of(ids, np.zeros((rows, width)), np.full((rows, 2), 0.5), 0.001, 1.0, (width, 2))


class Harness:
    def __init__(self, store: Store, max_rows: int = 1000, keep: int = 10**6) -> None:
        self.seen: list[str] = []
        self.stored = 0
        self.writer = Writer(store, lambda c: c.to_rows("m", "1", OUTPUT), self.observe, self.count, max_rows, keep)

    def observe(self, chunk: Predictions) -> None:
        self.seen += chunk.ids

    def count(self, rows: int) -> None:
        self.stored += rows


@pytest.fixture
def harness(store: Store) -> Iterator[Harness]:
    made = Harness(store)
    yield made
    made.writer.close(1.0)


def _wait(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_everything_arrives_once_and_in_order(harness: Harness, store: Store) -> None:
    for i in range(300):
        assert harness.writer.put(_chunk(f"{i:03}", rows=3))
    assert harness.writer.flush(10)
    assert harness.writer.written == harness.stored == store.count_after("m", "1", 0) == 900
    assert harness.seen == sorted(harness.seen, key=lambda s: (s[:3], int(s[4:]))) and len(harness.seen) == 900


def test_close_writes_what_is_queued(store: Store) -> None:
    harness = Harness(store)
    harness.writer.put(_chunk("a", rows=50))
    harness.writer.close()
    assert store.count_after("m", "1", 0) == 50
    assert not harness.writer.put(_chunk("b")) and harness.writer.dropped == 1


def test_locked_store_drops_beyond_the_queue_and_recovers(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with store.engine.connect() as connection:  # one pooled connection, that gives up soon
        connection.execute(sa.text("PRAGMA busy_timeout=20"))
    harness = Harness(store, max_rows=100)
    lock = sqlite3.connect(tmp_path / "monitor.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    begin = time.perf_counter()
    kept = sum(harness.writer.put(_chunk(str(i), rows=10)) for i in range(1000))
    assert time.perf_counter() - begin < 1.0  # a thousand requests, none of which waited for the lock
    assert kept == 10 and harness.writer.dropped == 9900
    with caplog.at_level(logging.WARNING, "lamplighter.monitor"):
        _wait(lambda: "cannot write predictions" in caplog.text)
        time.sleep(0.5)
        assert caplog.text.count("cannot write predictions") == 1
        assert harness.writer.waiting == 100
        lock.execute("ROLLBACK")
        assert harness.writer.flush(20)
        assert "written again; 9900 were dropped" in caplog.text
    assert harness.writer.written == store.count_after("m", "1", 0) == 100
    lock.close()
    harness.writer.close()


def test_a_full_disk_does_not_end_the_writer(store: Store) -> None:
    with store.engine.connect() as connection:
        pages = connection.execute(sa.text("PRAGMA page_count")).scalar()
        connection.execute(sa.text(f"PRAGMA max_page_count={pages}"))
        connection.commit()
    harness = Harness(store)
    harness.writer.put(_chunk("a", rows=500, width=100))
    assert not harness.writer.flush(0.5)
    with store.engine.connect() as connection:
        connection.execute(sa.text("PRAGMA max_page_count=1000000"))
        connection.commit()
    assert harness.writer.flush(20) and harness.writer.written == 500
    harness.writer.close()


def test_rows_the_store_refuses_are_counted_and_the_next_go_through(harness: Harness) -> None:
    broken = _chunk("a")
    object.__setattr__(broken, "latency", None)
    harness.writer.put(broken)
    assert harness.writer.flush(10) and harness.writer.failed == 1
    harness.writer.put(_chunk("b"))
    assert harness.writer.flush(10) and harness.writer.written == 1


def test_a_request_larger_than_the_queue_is_taken_when_the_queue_is_empty(store: Store) -> None:
    harness = Harness(store, max_rows=10)
    assert harness.writer.put(_chunk("a", rows=2500))
    assert harness.writer.flush(10) and harness.writer.written == 2500
    harness.writer.close()


def test_repeated_ids_are_counted_as_failed(harness: Harness) -> None:
    harness.writer.put(_chunk("a"))
    harness.writer.put(_chunk("a"))
    assert harness.writer.flush(10)
    assert (harness.writer.written, harness.writer.failed) == (1, 1)


def test_old_predictions_are_forgotten(store: Store) -> None:
    harness = Harness(store, keep=1500)
    for i in range(6):
        harness.writer.put(_chunk(str(i), rows=1000))
        assert harness.writer.flush(10)
    assert store.count_after("m", "1", 0) == 1500
    harness.writer.close()


def test_a_chunk_that_cannot_be_read_is_counted_and_the_thread_goes_on(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    for i in range(3):
        broken = _chunk(f"bad{i}", rows=2)
        object.__setattr__(broken, "scores", None)
        harness.writer.put(broken)
    harness.writer.put(_chunk("good", rows=4))
    assert harness.writer.flush(10)
    assert (harness.writer.written, harness.writer.failed, harness.writer.waiting) == (4, 6, 0)
    assert caplog.text.count("cannot be read") == 1


def test_an_observer_that_fails_does_not_end_the_writer(store: Store) -> None:
    harness = Harness(store)
    harness.writer._observe = lambda chunk: 1 / 0  # type: ignore[assignment, return-value]
    harness.writer.put(_chunk("a"))
    assert harness.writer.flush(10) and harness.writer.failed == 1
    harness.writer._observe = lambda chunk: None
    harness.writer.put(_chunk("b"))
    assert harness.writer.flush(10) and harness.writer.written == 1
    harness.writer.close()


def test_flush_does_not_wait_for_a_stream_that_goes_on(harness: Harness) -> None:
    numbers, stop = itertools.count(), threading.Event()

    def next_comes(chunk: Predictions) -> None:
        if not stop.is_set():
            harness.writer.put(_chunk(f"s{next(numbers)}"))

    harness.writer._observe = next_comes
    harness.writer.put(_chunk("first"))
    assert harness.writer.flush(5) and harness.writer.waiting
    stop.set()
    assert harness.writer.flush(5) and harness.writer.waiting == 0
