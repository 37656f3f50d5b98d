"""The background thread that carries predictions from requests to the store."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from sqlalchemy.exc import OperationalError, SQLAlchemyError

from lamplighter.monitor.records import Predictions
from lamplighter.monitor.store import Store, first_line

logger = logging.getLogger("lamplighter.monitor")

BATCH = 1000
GATHER_SECONDS = 0.05  # how long a small batch waits for company
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0


class Writer:
    """A bounded queue with one thread that empties it in batches, one transaction each.

    When the store does not take a batch (locked, disk full, server gone) the thread says so once, keeps the batch and
    tries again; meanwhile the queue fills, and what does not fit is dropped and counted. Requests never wait.

    Args:
        store: where rows go.
        to_rows: turns the predictions of one request into rows.
        observe: called with each request's predictions as soon as the thread sees them.
        stored: called with the number of rows of each batch after it was written.
        max_rows: rows waiting at most.
        keep_rows: the store forgets older predictions than these.

    Attributes:
        written: rows in the store.
        dropped: rows lost because the queue was full.
        failed: rows that could not be read, that the store refused for good, or that were left when the program ended.
    """

    def __init__(
        self,
        store: Store,
        to_rows: Callable[[Predictions], list[dict[str, Any]]],
        observe: Callable[[Predictions], None],
        stored: Callable[[int], None],
        max_rows: int,
        keep_rows: int,
    ) -> None:
        self.written = self.dropped = self.failed = 0
        self._store, self._to_rows, self._observe, self._stored = store, to_rows, observe, stored
        self._max_rows, self._keep_rows = max_rows, keep_rows
        self._chunks: deque[Predictions] = deque()
        self._queued = self._settled = 0  # rows ever queued, and ever written, refused or given up
        self._since_prune = BATCH
        self._lock = threading.Lock()
        self._progress = threading.Condition(self._lock)
        self._wake, self._hurry, self._closing = threading.Event(), threading.Event(), threading.Event()
        self._troubled = self._puzzled = False
        self._thread = threading.Thread(target=self._run, name="lamplighter-writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Rows not yet in the store."""
        return self._queued - self._settled

    def put(self, chunk: Predictions) -> bool:
        """Queue the rows of one request; never blocks. False when they were dropped."""
        with self._lock:
            if (self.waiting and self.waiting + len(chunk) > self._max_rows) or self._closing.is_set():
                self.dropped += len(chunk)
                return False
            self._chunks.append(chunk)
            self._queued += len(chunk)
        if not self._wake.is_set():
            self._wake.set()
        return True

    def flush(self, timeout: float) -> bool:
        """Wait until everything queued so far is in the store. False when that took longer than ``timeout`` seconds."""
        self._hurry.set()
        self._wake.set()
        with self._progress:
            number = self._queued  # a stream that goes on must not keep anyone waiting
            return self._progress.wait_for(lambda: self._settled >= number, timeout)

    def close(self, timeout: float = 10.0) -> None:
        """Write what is queued and stop."""
        self.flush(timeout)
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            if self.waiting < BATCH and not self._closing.is_set():
                self._hurry.wait(GATHER_SECONDS)
            self._wake.clear()
            self._hurry.clear()
            while chunks := self._take():
                rows = [row for chunk in chunks for row in self._prepare(chunk)]
                for start in range(0, len(rows), BATCH):
                    self._write(rows[start : start + BATCH])
                self._prune(len(rows))
                with self._progress:
                    self._settled += sum(map(len, chunks))
                    self._progress.notify_all()

    def _prepare(self, chunk: Predictions) -> list[dict[str, Any]]:
        """The rows of one request, after it was observed. One that cannot be read is left out: nothing may end this
        thread."""
        try:
            rows = self._to_rows(chunk)
            self._observe(chunk)
        except Exception:
            if not self._puzzled:
                logger.exception("%d predictions cannot be read and are not recorded", len(chunk))
            self._puzzled = True
            self.failed += len(chunk)
            return []
        self._puzzled = False
        return rows

    def _take(self) -> list[Predictions]:
        """Whole requests up to about one batch of rows."""
        chunks: list[Predictions] = []
        with self._lock:
            size = 0
            while self._chunks and size < BATCH:
                chunks.append(self._chunks.popleft())
                size += len(chunks[-1])
        return chunks

    def _write(self, rows: list[dict[str, Any]]) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                added = self._store.add_predictions(rows)
            except OperationalError as error:
                self._say("cannot write predictions, trying again: %s", first_line(error))
                if self._closing.wait(pause):
                    self.failed += len(rows)
                    return
                pause = min(2 * pause, LONGEST_PAUSE)
            except SQLAlchemyError as error:
                logger.error("the store refused %d predictions: %s", len(rows), first_line(error))
                self.failed += len(rows)
                return
            except Exception:  # a driver may raise what SQLAlchemy does not know, for instance of a number too large
                logger.exception("%d predictions were not stored", len(rows))
                self.failed += len(rows)
                return
            else:
                break
        if self._troubled:
            logger.warning("predictions are written again; %d were dropped so far", self.dropped)
            self._troubled = False
        self.written += added
        self.failed += len(rows) - added  # ids that were used before
        self._stored(added)

    def _prune(self, rows: int) -> None:
        """Keep the store at its size: now and then remove the oldest rows."""
        self._since_prune += rows
        if self._since_prune < BATCH:
            return
        self._since_prune = 0
        try:
            deadline = time.monotonic() + 1.0
            while self._store.prune(self._keep_rows) and time.monotonic() < deadline:
                pass
        except SQLAlchemyError as error:
            self._say("cannot remove old predictions: %s", first_line(error))

    def _say(self, message: str, reason: str) -> None:
        """Log the first of a row of troubles only."""
        if not self._troubled:
            logger.warning(message, reason)
        self._troubled = True
