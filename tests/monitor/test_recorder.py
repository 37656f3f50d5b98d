"""The recorder never blocks, works in order, drops what does not fit, and outlives work that fails."""

from __future__ import annotations

import logging
import threading

import pytest

from lamplighter.monitor.recorder import Recorder


def test_work_is_done_in_order_and_close_finishes_it() -> None:
    recorder, done = Recorder(10**6), []
    for i in range(200):
        assert recorder.put(2, 10, lambda i=i: done.append(i))
    recorder.close()
    assert done == list(range(200)) and recorder.waiting == recorder.dropped == 0
    assert not recorder.put(3, 10, lambda: done.append(-1)) and recorder.dropped == 3


def test_what_does_not_fit_is_dropped_and_counted() -> None:
    recorder, go = Recorder(100), threading.Event()
    recorder.put(1, 60, lambda: go.wait(10) and None)
    kept = [recorder.put(5, 30, lambda: None) for _ in range(6)]
    assert kept.count(True) in (1, 2) and recorder.dropped == 5 * kept.count(False)
    assert not recorder.flush(0.05)
    go.set()
    assert recorder.flush(10) and recorder.waiting == 0
    assert recorder.put(1, 10**9, lambda: None), "what is larger than the queue is taken when nothing waits"
    recorder.close()


def test_flush_does_not_wait_for_what_comes_after_it() -> None:
    recorder, go = Recorder(10**6), threading.Event()
    recorder.put(1, 1, lambda: recorder.put(1, 1, lambda: go.wait(10) and None) and None)
    assert recorder.flush(5) and recorder.waiting == 1
    go.set()
    recorder.close()


def test_work_that_fails_is_logged_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    recorder, done = Recorder(10**6), []

    def fail() -> None:
        raise RuntimeError("no features today")

    for _ in range(3):
        recorder.put(2, 1, fail)
    recorder.put(1, 1, lambda: done.append(1))
    with caplog.at_level(logging.ERROR, "lamplighter.monitor"):
        assert recorder.flush(10)
    assert done == [1] and recorder.failed == 6
    assert caplog.text.count("cannot be described") == 1 and "no features today" in caplog.text
    recorder.close()
