"""What a person sees of a training: a bar with loss, rate and time left, or plain lines where there is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

_REFRESH_SECONDS = 0.2
_LINE_SECONDS = 30.0


class NoProgress:
    """Shows nothing."""

    def __init__(self) -> None:
        self.loss: Callable[[], float] = lambda: float("nan")

    def start(self, epochs: int, batches: int) -> None:
        """Training begins.

        Args:
            epochs: planned.
            batches: in one epoch.
        """

    def epoch(self, epoch: int, batches_done: int) -> None:
        """An epoch (counting from 1) begins, ``batches_done`` of it done before an interruption."""

    def advance(self, batches: int, rows: int) -> None:
        """A step is done."""

    def message(self, text: str) -> None:
        """Something worth a line."""

    def stop(self) -> None:
        """Training is over."""


class LineProgress(NoProgress):
    """Plain lines: what happened, and every 30 seconds where training stands.

    ``loss`` is asked only when a line is due, since asking waits for the device.
    """

    every = _LINE_SECONDS

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        self.console = console or Console(stderr=True, soft_wrap=True, highlight=False)

    def start(self, epochs: int, batches: int) -> None:
        self.epochs, self.batches = epochs, batches
        self.current, self.done = 1, 0
        self.began = self.due = time.monotonic()
        self.total_done = self.rows = 0

    def epoch(self, epoch: int, batches_done: int) -> None:
        self.current, self.done = epoch, batches_done

    def advance(self, batches: int, rows: int) -> None:
        self.done += batches
        self.total_done += batches
        self.rows += rows
        now = time.monotonic()
        if now - self.due >= self.every:
            self.due = now
            self.show(now - self.began)

    def show(self, seconds: float) -> None:
        """Print where training stands."""
        left = (self.epochs - self.current) * self.batches + self.batches - self.done
        remaining = seconds / self.total_done * left
        self.message(
            f"epoch {self.current}/{self.epochs}  batch {self.done}/{self.batches}  loss {self.loss():.4f}  "
            f"{self.rows / seconds:,.0f} rows/s  {_clock(remaining)} left"
        )

    def message(self, text: str) -> None:
        self.console.print(text, markup=False)


class BarProgress(LineProgress):
    """A bar that redraws itself five times a second."""

    every = _REFRESH_SECONDS

    def start(self, epochs: int, batches: int) -> None:
        super().start(epochs, batches)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}  {task.fields[rate]} rows/s"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self.console,
            transient=True,
            auto_refresh=False,
        )
        self.item: TaskID = self.bar.add_task("", total=epochs * batches, loss="-", rate="-")
        self.bar.start()

    def epoch(self, epoch: int, batches_done: int) -> None:
        super().epoch(epoch, batches_done)
        finished = (epoch - 1) * self.batches + batches_done
        self.bar.update(self.item, description=f"epoch {epoch}/{self.epochs}", completed=finished, refresh=True)

    def show(self, seconds: float) -> None:
        finished = (self.current - 1) * self.batches + self.done
        loss, rate = f"{self.loss():.4f}", f"{self.rows / seconds:,.0f}"
        self.bar.update(self.item, completed=finished, loss=loss, rate=rate, refresh=True)

    def stop(self) -> None:
        self.bar.stop()


def make_progress(wanted: bool) -> NoProgress:
    """The kind that fits: a bar on a terminal, lines elsewhere, nothing when not wanted. All go to standard error."""
    if not wanted:
        return NoProgress()
    return BarProgress() if sys.stderr.isatty() else LineProgress()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
