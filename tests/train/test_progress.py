"""What a person sees of a training."""

from __future__ import annotations

import io
import re
import time

import pytest
from rich.console import Console

from lamplighter.train.progress import BarProgress, LineProgress, NoProgress, make_progress


def console(terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=120, soft_wrap=not terminal, highlight=False)


def text(progress: LineProgress) -> str:
    assert isinstance(progress.console.file, io.StringIO)
    return progress.console.file.getvalue()


def train(progress: LineProgress) -> None:
    """Two epochs of three batches of ten rows."""
    progress.loss = lambda: 0.25
    progress.start(epochs=2, batches=3)
    for epoch in (1, 2):
        progress.epoch(epoch, 0)
        for _ in range(3):
            progress.advance(1, 10)
        progress.message(f"epoch {epoch} [done]")
    progress.stop()


def test_lines_show_loss_rate_and_time_left() -> None:
    progress = LineProgress(console(terminal=False))
    progress.every = 0.0
    train(progress)
    lines = text(progress).splitlines()
    assert len(lines) == 8
    assert re.fullmatch(r"epoch 1/2  batch 2/3  loss 0\.2500  [\d,]+ rows/s  0:00 left", lines[1])
    assert lines[3] == "epoch 1 [done]"


def test_lines_are_rare() -> None:
    progress = LineProgress(console(terminal=False))
    train(progress)
    assert text(progress).splitlines() == ["epoch 1 [done]", "epoch 2 [done]"]


def test_the_time_left_is_what_the_rate_says(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    progress = LineProgress(console(terminal=False))
    progress.start(epochs=3, batches=10)
    progress.epoch(2, batches_done=4)  # resumed there
    now[0] += 60
    progress.advance(2, 64)
    assert "epoch 2/3  batch 6/10" in text(progress)
    assert " 1 rows/s  7:00 left" in text(progress), "14 batches at 30 seconds each"


def test_the_loss_is_asked_only_when_it_is_shown() -> None:
    asked: list[int] = []
    progress = LineProgress(console(terminal=False))
    progress.loss = lambda: float(len(asked)) if asked.append(1) is None else 0.0
    progress.start(1, 1000)
    progress.epoch(1, 0)
    for _ in range(1000):
        progress.advance(1, 1)
    assert asked == []


def test_a_terminal_gets_a_bar_that_leaves_only_the_messages() -> None:
    progress = BarProgress(console(terminal=True))
    progress.every = 0.0
    train(progress)
    shown = text(progress)
    assert "loss 0.2500" in shown and "rows/s" in shown and "6/6" in shown
    assert "epoch 2 [done]" in shown


def test_not_wanted_means_silent(capsys: pytest.CaptureFixture[str]) -> None:
    progress = make_progress(False)
    assert type(progress) is NoProgress
    progress.start(1, 1)
    progress.epoch(1, 0)
    progress.advance(1, 1)
    progress.message("x")
    progress.stop()
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_no_terminal_means_lines_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    progress = make_progress(True)
    assert type(progress) is LineProgress
    progress.message("a line")
    captured = capsys.readouterr()
    assert captured.err == "a line\n"
    assert captured.out == ""
