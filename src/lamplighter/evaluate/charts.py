"""The report's charts: matplotlib figures as inline SVG whose colours are CSS variables, so they follow the page.

Charts hold numbers only. Names that come from data stand in the page around them, where they are escaped, and where
the reader's fonts have all the letters that matplotlib's own font lacks.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator

from lamplighter.metrics.calibration import Reliability
from lamplighter.metrics.curves import PrecisionRecallCurve, RocCurve
from lamplighter.metrics.intervals import wilson

# Placeholder colours, replaced by the page's CSS variables in `_to_svg`.
INK, QUIET, GRID, NOW, NOW_SOFT, THEN, CARD = (f"#0{i}0{i}0{i}" for i in range(1, 8))
_VARIABLES = {INK: "ink", QUIET: "quiet", GRID: "grid", NOW: "now", NOW_SOFT: "now-soft", THEN: "then", CARD: "card"}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "lamplighter",
    "font.size": 9.5,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.linewidth": 0.8,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "lines.linewidth": 2.0,
    "lines.solid_capstyle": "round",
}
_MAX_POINTS = 1000
_LINES: list[tuple[str, Any]] = [
    (colour, dashes) for dashes in ("solid", (0, (5, 2)), (0, (1.5, 1.5))) for colour in (NOW, THEN, INK)
]


def epochs_chart(
    epochs: Sequence[int],
    train: Sequence[float],
    val: Sequence[float],
    *,
    best: int | None,
    about: str,
) -> Markup:
    """One number over the epochs, for training and validation rows; gaps where it is not finite.

    Args:
        epochs: numbers of the epochs, rising.
        train: one value an epoch, NaN where there is none; drawn dashed.
        val: the same, drawn solid.
        best: the epoch to mark.
        about: what is shown, for people who hear the page.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(4.6, 2.9)
        few = len(epochs) <= 12
        series = ((train, THEN, (0, (4, 2)), "s"), (val, NOW, "solid", "o"))
        for values, colour, dashes, marker in series:
            if np.isfinite(values).any():
                style: dict[str, Any] = {"marker": marker, "markersize": 4} if few else {}
                axes.plot(epochs, _finite(values), color=colour, linestyle=dashes, **style)
        drawn = _finite([*train, *val])
        positive = drawn[np.isfinite(drawn)]
        if positive.size and positive.min() > 0 and positive.max() > 30 * positive.min():
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))
        else:
            _round_ticks(axes.yaxis)
        if best is not None and best in epochs:
            axes.axvline(best, color=QUIET, linewidth=1, linestyle=(0, (1, 2)))
            at = list(epochs).index(best)
            if np.isfinite(val[at]):
                axes.plot([best], [val[at]], "o", color=NOW, markeredgecolor=CARD, markeredgewidth=1.5, markersize=9)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        if len(epochs) == 1:
            axes.set_xlim(epochs[0] - 1, epochs[0] + 1)
            axes.set_xticks([epochs[0]])
        return _to_svg(figure, about)


def calibration_chart(before: Reliability, after: Reliability | None, about: str) -> Markup:
    """Share of right answers against stated confidence, and how many answers stand at each confidence.

    Args:
        before: bins without temperature.
        after: bins with it; None when there is none.
        about: for people who hear the page.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(4.6, 4.4), layout="constrained")
        top, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
        top.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=(0, (1, 2)))
        curves = [(before, THEN, "s")] if after is not None else []
        shown = before if after is None else after
        for curve, colour, marker in [*curves, (shown, NOW, "o")]:
            filled = curve.count > 0
            x, share, count = curve.confidence[filled], curve.accuracy[filled], curve.count[filled]
            style = {"color": colour, "marker": marker, "edgecolor": CARD, "zorder": 3}
            top.scatter(x, share, s=16 + 110 * count / max(1, count.max(initial=0)), **style)
            if curve is shown:
                low, high = np.array([wilson(round(right), n) for right, n in zip(share * count, count.tolist())]).T
                top.vlines(x, low, high, color=colour, linewidth=1.2, alpha=0.6)
        top.set_ylabel("share that is right")
        top.set_ylim(-0.04, 1.04)
        width = np.diff(shown.edges)
        below.bar(shown.edges[:-1], shown.count, width, align="edge", color=NOW_SOFT, edgecolor=CARD)
        below.set_ylabel("answers")
        below.set_xlabel("stated confidence")
        below.set_xlim(0, 1.02)
        below.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=3))
        return _to_svg(figure, about)


def against_truth_chart(value: np.ndarray, y: np.ndarray, about: str) -> Markup:
    """Each row a point: true value to the right, predicted value upwards, the diagonal is perfection.

    Args:
        value: (N,) predictions; of more than 1,000 finite rows, evenly spaced ones in order of y are drawn.
        y: (N,) true values.
        about: for people who hear the page.
    """
    order = np.argsort(y, kind="stable")
    if len(order) > _MAX_POINTS:
        order = order[np.linspace(0, len(order) - 1, _MAX_POINTS).astype(int)]
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(4.6, 3.7)
        low, high = float(min(value.min(), y.min())), float(max(value.max(), y.max()))
        axes.plot([low, high], [low, high], color=QUIET, linewidth=1, linestyle=(0, (1, 2)))
        axes.plot(y[order], value[order], "o", color=NOW, alpha=0.45, markersize=4.5, markeredgewidth=0)
        axes.set_xlabel("true value")
        axes.set_ylabel("predicted value")
        _round_ticks(axes.xaxis)
        _round_ticks(axes.yaxis)
        return _to_svg(figure, about)


def residuals_chart(residuals: np.ndarray, about: str) -> Markup:
    """Histogram of predicted minus true.

    Args:
        residuals: (N,) finite.
        about: for people who hear the page.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(4.6, 3.7)
        bins = int(np.clip(np.sqrt(len(residuals)), 5, 40))
        axes.hist(residuals, bins=bins, color=NOW_SOFT, edgecolor=CARD, linewidth=0.8)
        axes.axvline(0, color=QUIET, linewidth=1, linestyle=(0, (1, 2)))
        axes.axvline(float(residuals.mean()), color=NOW, linewidth=2)
        axes.set_xlabel("predicted minus true")
        axes.set_ylabel("rows")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        _round_ticks(axes.xaxis)
        return _to_svg(figure, about)


def lines_chart(curves: Sequence[Sequence[float]], about: str) -> Markup:
    """One curve for each run over the epochs; its number, from 1, stands at its end.

    Args:
        curves: one list of values a run, NaN where an epoch has none; they may be of different lengths.
        about: for people who hear the page.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(4.6, 2.9)
        drawn = np.concatenate([_finite(curve) for curve in curves])
        positive = drawn[np.isfinite(drawn)]
        if positive.size and positive.min() > 0 and positive.max() > 30 * positive.min():
            axes.set_yscale("log")
        for number, curve in enumerate(curves, start=1):
            values, epochs = _finite(curve), np.arange(1, len(curve) + 1)
            shown = np.isfinite(values)
            if not shown.any():
                continue
            colour, dashes = _LINES[(number - 1) % len(_LINES)]
            axes.plot(epochs[shown], values[shown], color=colour, linestyle=dashes)
            axes.annotate(
                str(number), (epochs[shown][-1], values[shown][-1]), (4, 0), textcoords="offset points", va="center",
                color=colour, fontweight="bold",
            )  # fmt: skip
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        return _to_svg(figure, about)


def roc_chart(curve: RocCurve, at: tuple[float, float], about: str) -> Markup:
    """Share of the positives found upwards, share of the others falsely alarmed to the right.

    Args:
        curve: of at least one positive and one other row.
        at: the point of the threshold in use.
        about: for people who hear the page.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(4.6, 3.9)
        axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=(0, (1, 2)))
        kept = _thinned(len(curve.thresholds))
        axes.plot(curve.false_positive_rate[kept], curve.true_positive_rate[kept], color=NOW)
        return _shares(figure, axes, at, "others falsely alarmed", "positives found (recall)", about)


def precision_recall_chart(curve: PrecisionRecallCurve, at: tuple[float, float], share: float, about: str) -> Markup:
    """Precision upwards, recall to the right, in steps: between two thresholds there is nothing to choose.

    Args:
        curve: of at least one positive row.
        at: the point of the threshold in use; NaN precision for one that answers nothing.
        share: of positives among the rows, which is the precision of answering at random.
        about: for people who hear the page.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(4.6, 3.9)
        axes.axhline(share, color=QUIET, linewidth=1, linestyle=(0, (1, 2)))
        kept = _thinned(len(curve.recall))
        axes.plot(curve.recall[kept], curve.precision[kept], color=NOW, drawstyle="steps-post")
        return _shares(figure, axes, at, "positives found (recall)", "such answers that are right (precision)", about)


def _shares(figure: Figure, axes: Axes, at: tuple[float, float], across: str, upwards: str, about: str) -> Markup:
    """Finish a chart whose both axes are shares."""
    if np.isfinite(at).all():
        axes.plot(
            *at, "o", color=NOW, markeredgecolor=CARD, markeredgewidth=1.5, markersize=10, zorder=4, clip_on=False
        )
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel(across)
    axes.set_ylabel(upwards)
    return _to_svg(figure, about)


def _thinned(points: int) -> np.ndarray:
    """Up to `_MAX_POINTS` positions, both ends among them."""
    return np.unique(np.linspace(0, points - 1, min(points, _MAX_POINTS)).astype(int))


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _round_ticks(axis: Axis) -> None:
    """Few ticks; 200 k and 3 M instead of long numbers or a power of ten in the corner."""
    axis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 2.5, 5, 10]))
    low, high = axis.get_view_interval()
    if not 1e-3 < max(abs(low), abs(high)) < 1e4:
        axis.set_major_formatter(EngFormatter(sep=" "))


def _finite(values: Sequence[float]) -> np.ndarray:
    numbers = np.asarray(values, dtype=np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _to_svg(figure: Figure, about: str) -> Markup:
    """The figure as an ``<svg>`` element: no XML head, own ids, page colours, page font."""
    buffer = io.StringIO()
    metadata = dict.fromkeys(["Date", "Creator", "Format", "Type"])
    figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"font(-family)?: [^;\"]*(['\"]?)[^;\"]*DejaVu[^;\"]*", _font_size_only, text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    prefix = f"c{zlib.crc32(text.encode()):08x}-"  # several charts share one page, and runs repeat byte for byte
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}", text)
    opening = f'<svg role="img" aria-label="{escape(about)}" '
    text = text.replace("<svg ", opening, 1)
    head, _, rest = text.partition(">")
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    return Markup(re.sub(r"\n\s*", "\n", f"{head}>{rest}"))


def _font_size_only(match: re.Match[str]) -> str:
    size = re.search(r"([\d.]+px)", match[0])
    return f"font-size: {size[1]}" if size else ""
