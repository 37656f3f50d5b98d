"""A bar over many trainings, with time left; plain lines where there is no terminal."""

from __future__ import annotations

import sys
import time
from typing import Any

from lamplighter.train.callbacks.base import Callback, State

_LINE_SECONDS = 30.0


class ManyProgress:
    """Shows which training is running, how it stands, and what the finished ones gave.

    Args:
        noun: ``trial`` or ``fold``.
        total: how many there are.
        done: how many are finished already.
        show: nothing at all when False.
    """

    def __init__(self, noun: str, total: int, done: int, show: bool) -> None:
        self.noun, self.total, self.done = noun, total, done
        self.show = show
        self.due = time.monotonic() + _LINE_SECONDS
        self._bar: Any = None
        self._item: Any = None
        if show and sys.stderr.isatty():
            self._open()

    def inside(self, text: str) -> None:
        """Where the running training stands."""
        if self._bar is not None:
            self._bar.update(self._item, state=text, refresh=True)
        elif self.show and time.monotonic() >= self.due:
            self.due = time.monotonic() + _LINE_SECONDS
            self.message(f"{self.noun} {self.done + 1}/{self.total}  {text}")

    def finished(self, text: str) -> None:
        """One training is done."""
        self.done += 1
        self.due = time.monotonic() + _LINE_SECONDS
        if self._bar is not None:
            self._bar.update(self._item, completed=self.done, state="", refresh=True)
        self.message(f"{self.noun} {self.done}/{self.total}  {text}")

    def message(self, text: str) -> None:
        """A line for a person."""
        if not self.show:
            return
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def stop(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _open(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn(f"{self.noun}s"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False)
        self._item = self._bar.add_task("", total=self.total, completed=self.done, state="")
        self._bar.start()


class Following(Callback):
    """Tells a `ManyProgress` about each epoch of a training.

    Args:
        progress: whom to tell.
    """

    def __init__(self, progress: ManyProgress) -> None:
        self.progress = progress

    def on_epoch_end(self, state: State) -> None:
        value = state.metrics.get(f"val/{state.monitor}")
        judged = f"  {state.monitor} {value:.4f}" if value is not None else ""
        self.progress.inside(f"epoch {state.epoch}/{state.epochs}{judged}")
