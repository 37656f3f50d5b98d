"""What the report shows of slices: how good the model is for each value of each column of a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lamplighter.core import seeding
from lamplighter.core.signature import Column, Signature
from lamplighter.evaluate.glossary import figure, interval, meaning
from lamplighter.metrics.base import Metric, inputs
from lamplighter.metrics.of_labels import Accuracy
from lamplighter.metrics.of_values import MAE
from lamplighter.metrics.slices import Group, Slice, group, score_groups

_KINDS = ("numeric", "category", "boolean")
_COLUMNS = 20
_ROWS = 20_000
_SHOWN = 15


def sliced(
    outputs: dict[str, np.ndarray], signature: Signature, raw: Callable[[np.ndarray], list[Any]], seed: int = 0
) -> dict[str, Any] | None:
    """Slices by the columns that a model takes in.

    Args:
        outputs: calibrated ``logits`` or ``value``, with ``y`` and perhaps ``answers``.
        signature: of the data.
        raw: positions among the rows -> rows as a client would send them.
        seed: of the run.

    Returns:
        ``title``, ``rows`` (the surest to be worse first), ``worse`` (how many are), ``looked_at``, ``columns``,
        ``more`` (columns left out), ``n``, ``of`` for the template; None when no column tells rows apart.
    """
    columns = [column for column in signature.inputs if column.kind in _KINDS]
    metric: Metric = Accuracy() if signature.labels else MAE()
    predicted, y = inputs(metric.takes, outputs)
    of = len(y)
    if not columns or not of:
        return None
    chosen = np.arange(of)
    if of > _ROWS:
        chosen = np.sort(seeding.generator(seed, "slices rows").permutation(of)[:_ROWS])
    groups = groups_of(raw(chosen), columns[:_COLUMNS])
    slices = score_groups(metric, predicted[chosen], y[chosen], groups, seed)
    if not slices:
        return None
    worse = sum(slice_.worse for slice_ in slices)
    words = meaning(metric.key, "classification" if signature.labels else "regression")
    unit = largest(slices) if words.style == "unit" else 1.0
    return {
        "title": words.title,
        "rows": [_row(slice_, words.style, unit) for slice_ in slices[: max(_SHOWN, worse)]],
        "worse": worse,
        "looked_at": len(slices),
        "columns": len(columns[:_COLUMNS]),
        "more": len(columns) - len(columns[:_COLUMNS]),
        "n": len(chosen),
        "of": of,
    }


def groups_of(rows: list[Any], columns: Sequence[Column]) -> list[Group]:
    """All groups of all columns; a column with a single group tells nothing apart and is left out."""
    found = [group(column.name, [_value(row.get(column.name), column) for row in rows]) for column in columns]
    return [each for groups in found if len(groups) > 1 for each in groups]


def _value(value: Any, column: Column) -> Any:
    """A boolean column holds 1 and 0."""
    return bool(value) if column.kind == "boolean" and value in (0, 1) else value


def largest(slices: list[Slice]) -> float:
    """The upper end of a scale on which all intervals fit."""
    return max(max(slice_.score.high, slice_.rest) for slice_ in slices) or 1.0


def _row(slice_: Slice, style: Any, unit: float) -> dict[str, Any]:
    score = slice_.score
    low, high = score.low / unit, score.high / unit
    return {
        "column": slice_.column,
        "value": slice_.value,
        "n": score.n,
        "score": figure(score.value, style),
        "interval": interval(score, style),
        "rest": figure(slice_.rest, style),
        "worse": slice_.worse,
        "p": figure(slice_.p_value, "fraction"),
        "bar": {
            "left": f"{100 * low:.2f}",
            "width": f"{100 * (high - low):.2f}",
            "at": f"{100 * score.value / unit:.2f}",
            "rest": f"{100 * slice_.rest / unit:.2f}",
        },
    }
