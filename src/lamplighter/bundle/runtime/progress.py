"""A progress bar with rate and time left; plain lines when nobody watches a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def progress(what: str, count: Callable[[], int], show: bool = True) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the number of rows done since the last call.

    Args:
        what: noun for the rate, for instance ``"rows"``.
        count: how many there will be, or nearly; asked only when something is shown.
        show: false shows nothing.
    """
    if not show:
        yield _nothing
    elif sys.stderr.isatty():
        with _bar(what, count()) as advance:
            yield advance
    else:
        yield _lines(what, count())


def _nothing(rows: int) -> None:  # noqa: ARG001 - stands in for the others
    return


@contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    bar = Progress(
        BarColumn(),
        TaskProgressColumn(),
        TextColumn(f"{{task.completed:,}} {what}, {{task.fields[rate]}} a second"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("predict", total=total or None, rate="")
        started, done = time.monotonic(), 0

        def advance(rows: int) -> None:
            nonlocal done
            done += rows
            rate = done / max(time.monotonic() - started, 1e-9)
            bar.update(task, advance=rows, rate=f"{rate:,.0f}")

        yield advance


def _lines(what: str, total: int) -> Callable[[int], None]:
    started = shown = time.monotonic()
    done = 0

    def advance(rows: int) -> None:
        nonlocal done, shown
        done += rows
        now = time.monotonic()
        if now - shown >= _SECONDS_BETWEEN_LINES:
            shown = now
            rate = done / (now - started)
            left = max(0, total - done) / rate
            print(f"{done:,} of {total:,} {what}, {rate:,.0f} a second, {left:.0f} s left", file=sys.stderr, flush=True)

    return advance
