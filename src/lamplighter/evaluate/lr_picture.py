"""The curve of a learning-rate range test with what was read off it: for pages, and as an SVG or PNG file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from lamplighter.core import files
from lamplighter.core.errors import LamplighterError
from lamplighter.evaluate.charts import _STYLE, CARD, GRID, INK, NOW, NOW_SOFT, QUIET, THEN, _to_svg
from lamplighter.train.lr_curve import LRCurve

_ON_PAPER = {
    INK: "#1f2328",
    QUIET: "#57606a",
    GRID: "#d8dee4",
    NOW: "#b45309",
    NOW_SOFT: "#f0b67f",
    THEN: "#6b7785",
    CARD: "#ffffff",
}
_MARKS = {"steep": "o", "min/10": "s", "valley": "D"}


def lr_chart(curve: LRCurve) -> Markup:
    """The curve for a page: losses thin, their running mean bold, a mark for each suggestion, a line for the chosen."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(7.2, 3.4), layout="constrained")
        _draw(figure.subplots(), curve, {})
        return _to_svg(figure, f"loss against learning rate from {curve.lrs[0]:.0e} to {curve.lrs[-1]:.0e}")


def picture(path: Path, curve: LRCurve) -> None:
    """The curve as a file, whole or not at all.

    Args:
        path: ends in ``.svg`` or ``.png``.
        curve: of at least one step.

    Raises:
        LamplighterError: another ending, or nothing to draw.
    """
    ending = path.suffix.lower()
    if ending not in (".svg", ".png"):
        raise LamplighterError(f"{path}: pictures end in .svg or .png")
    if not curve.losses:
        raise LamplighterError(f"{path}: a range test that ended before its first step has no picture")
    style: dict[Any, Any] = {key: _ON_PAPER.get(value, value) for key, value in _STYLE.items()}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(7.2, 3.8), layout="constrained")
        axes = figure.subplots()
        _draw(axes, curve, _ON_PAPER)
        title = f"learning rate {curve.chosen:g}: {curve.reason}" if curve.chosen else "no learning rate found"
        axes.set_title(title, loc="left", color=_ON_PAPER[INK], fontsize=10)
        metadata = {"Date": None} if ending == ".svg" else None
        files.write_with(
            path, lambda temporary: figure.savefig(temporary, format=ending[1:], dpi=150, metadata=metadata)
        )


def _draw(axes: Axes, curve: LRCurve, colours: Mapping[str, str]) -> None:
    def colour(name: str) -> str:
        return colours.get(name, name)

    axes.set_xscale("log")
    axes.plot(curve.lrs, curve.losses, color=colour(NOW_SOFT), linewidth=1, marker=".", markersize=3)
    axes.plot(curve.lrs, curve.smoothed, color=colour(NOW))
    low, high = _window(curve)
    axes.set_ylim(low, high)
    if curve.chosen is not None:
        axes.axvline(curve.chosen, color=colour(QUIET), linewidth=1, linestyle=(0, (1, 2)))
    for name, lr in curve.suggestions.items():
        height = float(np.interp(np.log(lr), np.log(curve.lrs), curve.smoothed))
        filled = name == curve.rule
        axes.plot(
            [lr],
            [min(height, high)],
            _MARKS[name],
            color=colour(NOW if filled else CARD),
            markeredgecolor=colour(CARD if filled else INK),
            markeredgewidth=1.5,
            markersize=10 if filled else 7,
            label=f"{name}: {lr:.2g}",
            zorder=4,
        )
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    axes.xaxis.set_major_locator(LogLocator(numticks=12))
    axes.xaxis.set_major_formatter(lambda tick, _: f"{tick:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    if curve.suggestions:
        axes.legend(frameon=False, loc="lower left", labelcolor=colour(QUIET))


def _window(curve: LRCurve) -> tuple[float, float]:
    """The part of the y axis that is worth seeing: from the lowest loss to a bit above the start, not the explosion."""
    smoothed = np.array(curve.smoothed)
    start, lowest = float(smoothed[: max(1, len(smoothed) // 3)].max()), float(min(smoothed.min(), min(curve.losses)))
    room = 0.08 * max(start - lowest, 0.02 * abs(start), 1e-12)
    highest = max(start, float(np.quantile(curve.losses, 0.9)))
    return lowest - room, min(highest, start + 0.5 * (start - lowest)) + 3 * room
