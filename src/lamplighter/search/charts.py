"""Charts of many trainings: how a search went, what each key did, and how far folds lie apart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from lamplighter.evaluate.charts import _STYLE, CARD, NOW, NOW_SOFT, QUIET, THEN, _axes, _round_ticks, _to_svg

_TRIALS_WITH_CURVES = 200


def history_chart(numbers: Sequence[int], values: Sequence[float | None], mode: str, about: str) -> Markup:
    """Score of each trial, and the best so far; trials without a score are ticks at the bottom.

    Args:
        numbers: of the trials.
        values: of each, None where it was pruned or failed.
        mode: ``max`` or ``min``.
        about: what is shown, for people who hear the page.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(4.6, 2.9)
        x = np.array(numbers)
        y = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        given = np.isfinite(y)
        axes.plot(x[given], y[given], "o", color=NOW_SOFT, markeredgecolor=NOW, markeredgewidth=0.8, markersize=5)
        best = (np.fmax if mode == "max" else np.fmin).accumulate(y)
        axes.step(x, best, where="post", color=NOW)
        if (~given).any():
            bottom = axes.get_ylim()[0]
            axes.plot(x[~given], np.full((~given).sum(), bottom), "|", color=QUIET, markersize=9, clip_on=False)
            axes.set_ylim(bottom=bottom)
        axes.set_xlabel("trial")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        _round_ticks(axes.yaxis)
        return _to_svg(figure, about)


def curves_chart(curves: Sequence[dict[int, float]], best: int, about: str) -> Markup:
    """Score over the epochs, one thin line for each trial and a thick one for the best; pruned ones end early.

    Args:
        curves: epoch -> score, of each trial.
        best: index of the best trial.
        about: for people who hear the page.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(4.6, 2.9)
        for curve in list(curves)[:_TRIALS_WITH_CURVES]:
            marker = "." if len(curve) == 1 else None
            axes.plot([*curve], [*curve.values()], color=THEN, linewidth=0.9, alpha=0.55, marker=marker)
        axes.plot([*curves[best]], [*curves[best].values()], color=NOW, linewidth=2.4, marker=".")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        _round_ticks(axes.yaxis)
        return _to_svg(figure, about)


def slice_chart(
    x: Sequence[Any], values: Sequence[float], best: int, about: str, log: bool = False, choices: Sequence[Any] = ()
) -> Markup:
    """Score against the value of one key: numbers on an axis, anything else side by side.

    Args:
        x: value of each trial.
        values: score of each trial.
        best: index of the best trial.
        about: for people who hear the page.
        log: whether numbers lie evenly in the logarithm.
        choices: what was chosen among, in order; empty for a range.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(4.6, 2.9)
        if not choices:
            at: Sequence[float] = [float(each) for each in x]
            if log:
                axes.set_xscale("log")
            else:
                _round_ticks(axes.xaxis)
        else:
            names = [_plain(each) for each in choices]
            at = [float(list(choices).index(each)) for each in x]
            turn: dict[str, Any] = {"rotation": 30, "ha": "right"} if sum(map(len, names)) > 40 else {}
            axes.set_xticks(range(len(names)), names, **turn)
            axes.set_xlim(-0.5, len(names) - 0.5)
        axes.plot(at, values, "o", color=NOW, alpha=0.5, markersize=5, markeredgewidth=0)
        axes.plot([at[best]], [values[best]], "o", color=NOW, markeredgecolor=CARD, markeredgewidth=1.5, markersize=10)
        _round_ticks(axes.yaxis)
        return _to_svg(figure, about)


def folds_chart(values: Sequence[float], mean: float, low: float, high: float, about: str) -> Markup:
    """Score of each fold, their mean, and its interval as a band.

    Args:
        values: of the folds.
        mean: of the values.
        low: lower end of the interval.
        high: upper end.
        about: for people who hear the page.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(4.6, 2.6)
        numbers = np.arange(1, len(values) + 1)
        axes.axhspan(low, high, color=NOW_SOFT, alpha=0.35, linewidth=0)
        axes.axhline(mean, color=NOW, linewidth=1.5)
        axes.plot(numbers, values, "o", color=NOW, markeredgecolor=CARD, markeredgewidth=1, markersize=8)
        axes.set_xlabel("fold")
        axes.set_xlim(0.5, len(values) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10))
        _round_ticks(axes.yaxis)
        return _to_svg(figure, about)


def _plain(value: Any) -> str:
    """A short text that matplotlib takes literally, in letters that its font has."""
    text = value if isinstance(value, str) else json.dumps(value)
    if isinstance(value, dict) and "name" in value:
        text = str(value["name"])
    text = text.encode("ascii", "replace").decode().replace("$", r"\$")
    return text if len(text) <= 20 else text[:17] + "..."
