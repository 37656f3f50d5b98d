"""The background thread that describes answered requests: computing their features must not hold up an answer."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

logger = logging.getLogger("lamplighter.monitor")


class Recorder:
    """A bounded queue of work, done in order by one thread.

    Work that fails is counted and logged, the first of a row with its traceback; the thread goes on. Whoever leaves
    work never waits: what does not fit is dropped and counted.

    Args:
        max_bytes: what the waiting work holds in memory at most.

    Attributes:
        waiting: rows not yet described.
        dropped: rows lost because the queue was full.
        failed: rows whose work raised an error.
    """

    def __init__(self, max_bytes: int) -> None:
        self.waiting = self.dropped = self.failed = 0
        self._max_bytes, self._bytes = max_bytes, 0
        self._queue: deque[tuple[int, int, Callable[[], None]]] = deque()
        self._left = self._done = 0  # pieces of work ever left here, and ever done
        self._closing = self._troubled = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="lamplighter-recorder", daemon=True)
        self._thread.start()

    def put(self, rows: int, size: int, work: Callable[[], None]) -> bool:
        """Leave work on ``rows`` predictions that holds ``size`` bytes. False when it was dropped."""
        with self._changed:
            if self._closing or (self._queue and self._bytes + size > self._max_bytes):
                self.dropped += rows
                return False
            self._queue.append((rows, size, work))
            self.waiting += rows
            self._bytes += size
            self._left += 1
            self._changed.notify_all()
        return True

    def flush(self, timeout: float) -> bool:
        """Wait until everything left so far is done. False when that took longer than ``timeout`` seconds."""
        with self._changed:
            number = self._left
            return self._changed.wait_for(lambda: self._done >= number, timeout)

    def close(self, timeout: float = 10.0) -> None:
        """Take no more work, do what is there, and stop."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closing)
                if not self._queue:
                    return
                rows, size, work = self._queue.popleft()
            try:
                work()
                self._troubled = False
            except Exception:  # a bundle's features may raise anything; later predictions still count
                self.failed += rows
                if not self._troubled:
                    logger.exception("%d predictions cannot be described and are not recorded", rows)
                self._troubled = True
            with self._changed:
                self.waiting -= rows
                self._bytes -= size
                self._done += 1
                self._changed.notify_all()
