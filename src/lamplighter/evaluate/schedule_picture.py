"""The learning rate of every step as a picture, before training: an SVG or PNG file."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from lamplighter.core import files
from lamplighter.core.errors import LamplighterError

_INK, _QUIET, _GRID, _LINE = "#1f2328", "#57606a", "#d8dee4", "#b45309"
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "lamplighter",
    "svg.fonttype": "none",
    "font.size": 9.5,
    "text.color": _INK,
    "axes.edgecolor": _QUIET,
    "axes.labelcolor": _QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.linewidth": 0.8,
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "xtick.color": _QUIET,
    "ytick.color": _QUIET,
    "lines.linewidth": 2.0,
}
_MAX_POINTS = 2000


def picture(path: Path, rates: Sequence[float], steps_per_epoch: int | None = None, title: str = "") -> None:
    """Draw learning rates over steps, whole or not at all.

    Args:
        path: ends in ``.svg`` or ``.png``.
        rates: one for each step, see `lamplighter.optim.preview.rates`.
        steps_per_epoch: adds a scale of epochs at the top.
        title: one line above.

    Raises:
        LamplighterError: another ending, or nothing to draw.
    """
    ending = path.suffix.lower()
    if ending not in (".svg", ".png"):
        raise LamplighterError(f"{path}: pictures end in .svg or .png")
    if not rates:
        raise LamplighterError(f"{path}: a schedule of 0 steps has no picture")
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 3.2), layout="constrained")
        axes = figure.subplots()
        shown = _thinned(rates)
        axes.plot(shown, [rates[step] for step in shown], color=_LINE, marker="o" if len(rates) == 1 else None)
        axes.set_xlabel("optimizer step")
        axes.set_ylabel("learning rate")
        axes.set_ylim(bottom=0)
        axes.margins(x=0.01)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
        axes.yaxis.set_major_formatter(lambda tick, _: f"{tick:g}")
        if len(rates) >= 1e4:
            axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
        if steps_per_epoch:
            per_epoch = steps_per_epoch
            forth_and_back: Any = (lambda step: step / per_epoch, lambda epoch: epoch * per_epoch)
            top = axes.secondary_xaxis("top", forth_and_back)
            top.set_xlabel("epoch")
            top.xaxis.set_major_locator(MaxNLocator(nbins=10, steps=[1, 2, 5, 10]))
        if title:
            axes.set_title(title, loc="left")
        metadata = {"Date": None} if ending == ".svg" else None
        files.write_with(
            path, lambda temporary: figure.savefig(temporary, format=ending[1:], dpi=150, metadata=metadata)
        )


def _thinned(rates: Sequence[float]) -> list[int]:
    """Steps to draw: all, or some 2,000 that keep every turn of the line."""
    if len(rates) <= _MAX_POINTS:
        return list(range(len(rates)))
    even = {round(i * (len(rates) - 1) / (_MAX_POINTS - 1)) for i in range(_MAX_POINTS)}
    slopes = [b - a for a, b in itertools.pairwise(rates)]
    turns = {i for i, (a, b) in enumerate(itertools.pairwise(slopes), start=1) if a * b < 0}
    largest = sorted(range(1, len(rates)), key=lambda i: -abs(slopes[i - 1]))[:50]
    jumps = {step for i in largest for step in (i - 1, i)}
    return sorted(even | turns | jumps)
