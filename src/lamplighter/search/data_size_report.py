"""``report.html`` of a learning curve by data size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.ticker import FuncFormatter, NullLocator

from lamplighter.core import files, yaml
from lamplighter.evaluate.charts import _STYLE, NOW, THEN, _axes, _round_ticks, _to_svg
from lamplighter.search.report import _PAGES, _now

if TYPE_CHECKING:
    from lamplighter.search.data_size import LearningCurve


def write_report(path: Path, curve: LearningCurve) -> None:
    """Write the page, whole or not at all.

    Args:
        path: the HTML file.
        curve: what was measured.
    """
    rows = [
        {
            "rows": f"{point.rows:,}",
            "train": f"{np.mean(point.train):.4f}",
            "val": f"{np.mean(point.val):.4f}",
            "range": f"{min(point.val):.4f} to {max(point.val):.4f}" if len(point.val) > 1 else "",
        }
        for point in curve.points
    ]
    page = _PAGES.get_template("learning_curve.html").render(
        name=curve.recipe.name,
        made=_now(),
        curve=curve,
        chart=chart(curve),
        rows=rows,
        repeats=len(curve.points[0].val),
        recipe=yaml.dump(curve.recipe.to_dict()),
    )
    files.write_text(path, page)


def chart(curve: LearningCurve) -> Markup:
    """The metric against the number of rows, which doubles from tick to tick; all repeats as dots, means as lines."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(6.2, 3.6)
        sizes = [point.rows for point in curve.points]
        for values, colour, dashes, marker in (
            ([point.train for point in curve.points], THEN, (0, (4, 2)), "s"),
            ([point.val for point in curve.points], NOW, "solid", "o"),
        ):
            means = [float(np.mean(each)) for each in values]
            axes.plot(sizes, means, color=colour, linestyle=dashes, marker=marker, markersize=4)
            if len(values[0]) > 1:
                axes.plot(np.repeat(sizes, len(values[0])), np.ravel(values), ".", color=colour, alpha=0.45)
        axes.set_xscale("log")
        axes.set_xticks(sizes)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:,.0f}"))
        _round_ticks(axes.yaxis)
        axes.set_xlabel("training rows")
        axes.set_ylabel(curve.metric)
        return _to_svg(figure, f"{curve.metric} against the number of training rows")
