"""What the report shows of a regression: predicted against true, residuals, each target, worst rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lamplighter.core.signature import Signature
from lamplighter.evaluate import examples
from lamplighter.evaluate.charts import against_truth_chart, residuals_chart
from lamplighter.evaluate.glossary import figure
from lamplighter.metrics.regression import per_target

_TARGETS = 6
"""Charts are drawn for so many targets at most; the table has all of them."""


def regressed(
    outputs: dict[str, np.ndarray], signature: Signature, raw: Callable[[np.ndarray], list[Any]]
) -> dict[str, Any]:
    """Everything the page says about the predicted numbers.

    Args:
        outputs: ``value`` and ``y``, (N, T) or (N,), in the target's units; NaN in ``y`` for a blank; N > 0.
        signature: of the data.
        raw: positions among the N rows -> rows as a client would send them.

    Returns:
        ``targets`` (charts), ``more`` (how many have none), ``table``, ``worst``, ``baseline`` for the template.
    """
    value, y = (a.astype(np.float64).reshape(len(a), -1) for a in (outputs["value"], outputs["y"]))
    names = [target.name for target in signature.targets]
    usable = np.isfinite(value) & np.isfinite(y)
    drawn = [t for t in range(len(names)) if usable[:, t].any()]
    columns = per_target(value, y)
    return {
        "targets": [_target(names[t], value[usable[:, t], t], y[usable[:, t], t]) for t in drawn[:_TARGETS]],
        "more": len(drawn) - len(drawn[:_TARGETS]),
        "table": [
            {"name": name, **{key: figure(float(columns[key][t])) for key in ("n", "loss", "mae", "rmse", "r2")}}
            for t, name in enumerate(names)
        ],
        "worst": _worst(value, y, names, signature, raw),
        "baseline": figure(float(np.std(y[usable[:, 0], 0]))) if len(names) == 1 and usable.any() else None,
    }


def _target(name: str, value: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    residuals = value - y
    within = float(np.quantile(np.abs(residuals), 0.9))
    bias = float(residuals.mean())
    error = float(residuals.std() / np.sqrt(len(residuals)))
    if abs(bias) <= 2 * error:
        verdict = "too high about as often as too low"
    else:
        verdict = f"on average {figure(abs(bias))} too {'high' if bias > 0 else 'low'}"
    return {
        "name": name,
        "against": against_truth_chart(value, y, "predicted against true values"),
        "residuals": residuals_chart(residuals, "histogram of predicted minus true"),
        "verdict": f"Nine out of ten answers are off by at most {figure(within)}; they are {verdict}.",
    }


def _worst(
    value: np.ndarray, y: np.ndarray, names: list[str], signature: Signature, raw: Callable[[np.ndarray], list[Any]]
) -> dict[str, Any]:
    """Rows with the largest error, each target measured in its own standard deviations."""
    given = np.isfinite(y)
    count = np.maximum(given.sum(axis=0), 1)
    mean = np.where(given, y, 0).sum(axis=0) / count
    spread = np.sqrt(np.where(given, (y - mean) ** 2, 0).sum(axis=0) / count)
    off = np.where(given, np.abs(value - y), 0) / np.where(spread > 0, spread, 1)
    off = np.where(np.isnan(off), np.inf, off)  # an answer that is no number is the worst there is
    target = off.argmax(axis=1)
    chosen = np.argsort(-off.max(axis=1), kind="stable")[: examples.count(signature)]
    chosen = chosen[given[chosen].any(axis=1)]
    notes = [
        {
            "target": names[target[i]] if len(names) > 1 else "",
            "true": figure(float(y[i, target[i]])),
            "predicted": figure(float(value[i, target[i]])),
            "off": f"{value[i, target[i]] - y[i, target[i]]:+.4g}",
        }
        for i in chosen
    ]
    return examples.gallery(raw, chosen, notes, signature)
