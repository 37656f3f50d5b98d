"""A bar on a terminal, lines in a log, nothing when it shall be quiet."""

from __future__ import annotations

import sys

import pytest

from lamplighter.bundle.runtime import progress


def test_quiet_asks_for_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def count() -> int:
        raise AssertionError("counting may be slow")

    with progress.progress("rows", count, show=False) as advance:
        advance(3)
    assert capsys.readouterr() == ("", "")


def test_plain_lines_where_nobody_watches(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 1.0, 20.0, 21.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(times))
    with progress.progress("rows", lambda: 4000) as advance:
        advance(500)
        advance(1500)
        advance(100)
    assert capsys.readouterr() == ("", "2,000 of 4,000 rows, 100 a second, 20 s left\n")


def test_a_bar_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with progress.progress("rows", lambda: 10) as advance:
        advance(10)
    out, err = capsys.readouterr()
    assert out == ""
    assert "10 rows" in err
