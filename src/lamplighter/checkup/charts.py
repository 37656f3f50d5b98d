"""Charts of the examination, in the style of the training report."""

from __future__ import annotations

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.ticker import EngFormatter, MaxNLocator

from lamplighter.evaluate.charts import _STYLE, INK, NOW, NOW_SOFT, QUIET, THEN, _axes, _round_ticks, _to_svg
from lamplighter.train.diagnostics.gradient_flow import GradientFlow
from lamplighter.train.diagnostics.one_batch import OneBatch
from lamplighter.train.diagnostics.rates import RateComparison

_LINES = ((NOW, "solid"), (THEN, (0, (4, 2))), (INK, "solid"), (QUIET, (0, (1, 1.5))), (NOW_SOFT, "solid"))


def one_batch_chart(one: OneBatch) -> Markup:
    """The loss on one batch step by step, and its floor as a dotted line."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(4.6, 2.9)
        losses = np.where(np.isfinite(one.losses), one.losses, np.nan)
        axes.plot(np.arange(1, len(losses) + 1), losses, color=NOW)
        if one.floor is not None and np.isfinite(one.floor):
            axes.axhline(one.floor, color=QUIET, linewidth=1, linestyle=(0, (1, 2)))
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        _round_ticks(axes.yaxis)
        return _to_svg(figure, f"loss on one batch over {len(losses)} steps")


def gradients_chart(flow: GradientFlow) -> Markup:
    """Gradient norm of each layer, from first to last, on a logarithmic scale."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(4.6, 2.9)
        norms = [layer.gradient if layer.gradient else np.nan for layer in flow.layers]
        axes.plot(
            np.arange(1, len(norms) + 1), norms, color=NOW, marker="o" if len(norms) <= 40 else None, markersize=4
        )
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda tick, _: f"{tick:g}")
        shown = [norm for norm in norms if np.isfinite(norm)]
        if shown:  # at least two decades, so that harmless differences look harmless
            middle = np.sqrt(min(shown) * max(shown))
            axes.set_ylim(min(min(shown) / 2, middle / 10), max(max(shown) * 2, middle * 10))
        axes.set_xlabel("layer")
        axes.set_ylabel("gradient norm")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        return _to_svg(figure, f"gradient norms of {len(norms)} layers")


def schedule_chart(rates: tuple[float, ...]) -> Markup:
    """The learning rate of each step."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(4.6, 2.6)
        steps = np.unique(np.linspace(0, len(rates) - 1, min(len(rates), 1000)).astype(int))
        axes.plot(steps + 1, [rates[step] for step in steps], color=NOW, marker="o" if len(rates) == 1 else None)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("optimizer step")
        axes.set_ylabel("learning rate")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        axes.yaxis.set_major_formatter(lambda tick, _: f"{tick:g}")
        if len(rates) >= 1e4:
            axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
        return _to_svg(figure, f"learning rate over {len(rates)} steps")


def rates_chart(comparison: RateComparison) -> Markup:
    """The losses of each rate over the steps, numbered at their ends; the untrained network thin."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(7.2, 3.2)
        start = float(np.mean(comparison.untrained))
        low, high = start, start
        for number, rate in enumerate(comparison.rates, start=1):
            losses = np.where(np.isfinite(rate.losses), rate.losses, np.nan)
            colour, dashes = _LINES[(number - 1) % len(_LINES)]
            axes.plot(np.arange(1, len(losses) + 1), losses, color=colour, linestyle=dashes)
            finite = losses[np.isfinite(losses)]
            if finite.size:
                low = min(low, float(finite.min()))
                last = int(np.flatnonzero(np.isfinite(losses))[-1])
                axes.annotate(
                    str(number),
                    (last + 1, min(float(losses[last]), start * 1.6)),
                    (4, 0),
                    textcoords="offset points",
                    va="center",
                    color=colour,
                    fontweight="bold",
                    annotation_clip=False,
                )
        axes.plot(np.arange(1, len(comparison.untrained) + 1), comparison.untrained, color=QUIET, linewidth=0.8)
        room = 0.08 * (high - low) or 0.1
        axes.set_ylim(low - room, start + max(0.6 * abs(start), room))
        axes.set_xlim(0, comparison.steps * 1.04)
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        return _to_svg(figure, f"losses of {len(comparison.rates)} learning rates over {comparison.steps} steps")
