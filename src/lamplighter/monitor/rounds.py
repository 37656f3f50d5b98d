"""A worker thread's rounds: who asks for one can wait until a round that began after the asking is over."""

from __future__ import annotations

import threading


class Rounds:
    """Wakes a thread and tells others when it is done.

    >>> rounds = Rounds()
    >>> asked = rounds.ask()
    >>> begun = rounds.begin(timeout=1.0)   # the worker
    >>> rounds.finish(begun)
    >>> rounds.wait(asked, timeout=1.0)
    True
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._asked = self._begun = self._finished = 0

    def ask(self) -> int:
        """Ask for a round; returns its number."""
        with self._condition:
            self._asked += 1
            self._condition.notify_all()
            return self._asked

    def begin(self, timeout: float | None) -> int:
        """Wait for someone to ask, or for ``timeout`` seconds; returns the number of the round that begins."""
        with self._condition:
            self._condition.wait_for(lambda: self._asked > self._begun, timeout)
            self._begun = self._asked
            return self._begun

    def finish(self, number: int) -> None:
        """Say that everything asked for up to ``number`` is done."""
        with self._condition:
            self._finished = max(self._finished, number)
            self._condition.notify_all()

    def wait(self, number: int, timeout: float) -> bool:
        """Wait until round ``number`` is over. False when that took longer than ``timeout`` seconds."""
        with self._condition:
            return self._condition.wait_for(lambda: self._finished >= number, timeout)

    def wait_all(self, timeout: float) -> bool:
        """Wait until all rounds asked for so far are over."""
        with self._condition:
            number = self._asked
        return self.wait(number, timeout)
