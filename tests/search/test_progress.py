"""What a person sees of many trainings."""

from __future__ import annotations

import pytest

from lamplighter.search.progress import Following, ManyProgress
from lamplighter.train.callbacks.base import State


def test_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    shown = ManyProgress("trial", 3, 1, True)
    shown.inside("epoch 1/9")  # too early to be worth a line
    shown.finished("accuracy 0.9000")
    shown.due = 0.0
    shown.inside("epoch 2/9")
    shown.stop()
    assert capsys.readouterr().err.splitlines() == ["trial 2/3  accuracy 0.9000", "trial 3/3  epoch 2/9"]


def test_nothing_when_not_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    shown = ManyProgress("fold", 3, 0, False)
    shown.due = 0.0
    shown.inside("epoch 1/9")
    shown.finished("done")
    shown.message("hello")
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    shown = ManyProgress("fold", 2, 0, True)
    shown.inside("epoch 1/9  accuracy 0.5000")
    shown.finished("accuracy 0.9000")
    shown.stop()
    assert "fold 1/2  accuracy 0.9000" in capsys.readouterr().err


def test_epochs_are_followed(capsys: pytest.CaptureFixture[str]) -> None:
    shown = ManyProgress("trial", 3, 0, True)
    state = State(task=None, monitor="loss", mode="min", epochs=5)  # type: ignore[arg-type]
    state.epoch, state.metrics = 2, {"val/loss": 0.25}
    shown.due = 0.0
    Following(shown).on_epoch_end(state)
    assert capsys.readouterr().err == "trial 1/3  epoch 2/5  loss 0.2500\n"
