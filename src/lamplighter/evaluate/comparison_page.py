"""``lamp runs A B --html``: scores, recipes and curves of several runs on one page that needs no other file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import jinja2

from lamplighter.core import files
from lamplighter.evaluate import runs as side_by_side
from lamplighter.evaluate.charts import lines_chart
from lamplighter.evaluate.glossary import WORDS, figure, interval, meaning
from lamplighter.evaluate.runs import Summary

_PAGES = jinja2.Environment(
    loader=jinja2.PackageLoader("lamplighter.evaluate"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)


def write(path: Path, runs: Sequence[Summary]) -> None:
    """Write the page, whole or not at all.

    Args:
        path: the HTML file.
        runs: two or more.
    """
    labels = side_by_side.names(runs)
    charts = []
    for name, values in side_by_side.curves(runs).items():
        if any(math.isfinite(value) for run in values for value in run):
            title = _title(name, runs)
            charts.append({"title": title, "svg": lines_chart(values, about=f"{title}, epoch by epoch")})
    metrics = dict.fromkeys(name for run in runs for name in (run.test or run.val))
    scores = [(_title(f"val/{name}", runs).split(", ")[0], [_cell(run, name) for run in runs]) for name in metrics]
    page = _PAGES.get_template("runs.html").render(
        labels=labels,
        runs=runs,
        scores=scores,
        splits=["test" if run.test else "validation" for run in runs],
        differences=side_by_side.differences(runs),
        charts=charts,
        minutes=[f"{run.seconds / 60:.1f}" for run in runs],
    )
    files.write_text(path, page)


def _title(name: str, runs: Sequence[Summary]) -> str:
    split, _, metric = name.partition("/")
    titles = [words.title for run in runs if (words := meaning(metric, _kind(run))).title != metric]
    return f"{titles[0] if titles else metric}, {'training' if split == 'train' else 'validation'}"


def _cell(run: Summary, name: str) -> tuple[str, str]:
    score = (run.test or run.val).get(name)
    if score is None:
        return "-", ""
    style = meaning(name, _kind(run)).style
    return figure(score.value, style), interval(score, style)


def _kind(run: Summary) -> str:
    """Of answer: the task's name says it; of an ensemble or a student the metric it was chosen by."""
    name: str = run.recipe["task"]["name"]
    if name in WORDS:
        return name
    return "classification" if name == "text-classification" or "accuracy" in (run.test or run.val) else "regression"
