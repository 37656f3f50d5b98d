"""How good the model really is, from labels that come late."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamplighter.bundle.manifest import Manifest
from lamplighter.bundle.runtime import kinds
from lamplighter.metrics.intervals import wilson
from lamplighter.monitor.store import Store

POINTS = 24
WIDTHS = (5, 10, 30, 60, 120, 300, 900, 3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600)
RECENT = 1000  # labels
Z = 1.959963984540054  # 95%


def performance(store: Store, manifest: Manifest) -> dict[str, Any]:
    """Realised accuracy (or mean absolute error) by time of prediction.

    Late labels change past points: each label counts at the time of the prediction it belongs to. Labels rarely
    come for a random sample, so each point says what share of the predictions it knows about.

    Returns:
        ``metric``, ``test`` (the score of the test split, or None), ``overall`` (None without labels) and
        ``points``: dicts with ``time``, ``n`` labels, ``coverage``, ``value``, ``low``, ``high``; ``delay``: seconds.
    """
    metric = kinds.of(manifest.output).metric
    classify = metric == "accuracy"
    test = manifest.metrics.get(metric)
    result: dict[str, Any] = {
        "metric": metric,
        "test": test.model_dump() if test else None,
        "overall": None,
        "width": 0,
        "points": [],
    }
    span = store.label_span(manifest.name, manifest.version)
    if span is None:
        return result
    first, last, _ = span
    width = next((w for w in WIDTHS if (last - first) / w < POINTS), WIDTHS[-1])
    errors = store.errors_by_time(manifest.name, manifest.version, width)
    counts = store.predictions_by_time(manifest.name, manifest.version, width)
    points = []
    for bucket, found in sorted(errors.items())[-POINTS:]:
        n = int(found["n"])
        of = max(counts.get(bucket, 0), n)
        score = _score(classify, n, float(found["error"]), float(found["square"]))
        points.append({"time": bucket * width, "n": n, "coverage": n / of, "delay": float(found["delay"]), **score})
    total = {name: sum(float(found[name]) for found in errors.values()) for name in ("n", "error", "square")}
    delay = sum(float(f["delay"]) * int(f["n"]) for f in errors.values()) / total["n"]
    labelled, predicted = int(total["n"]), max(sum(counts.values()), int(total["n"]))
    result["width"], result["points"] = width, points
    result["overall"] = {
        "n": labelled,
        "coverage": labelled / predicted,
        "delay": delay,
        **_score(classify, labelled, total["error"], total["square"]),
    }
    return result


def recent(store: Store, manifest: Manifest) -> dict[str, Any] | None:
    """Realised accuracy (or mean absolute error) over the newest predictions that have a label.

    Returns:
        ``metric``, ``n`` labels (1000 at most), ``coverage`` (their share of all predictions since the oldest of them),
        ``value``, ``low``, ``high``; None without labels.
    """
    metric = kinds.of(manifest.output).metric
    found = store.newest_errors(manifest.name, manifest.version, RECENT)
    n = int(found["n"])
    if n == 0:
        return None
    of = max(store.count_since(manifest.name, manifest.version, float(found["since"])), n)
    score = _score(metric == "accuracy", n, float(found["error"]), float(found["square"]))
    return {"metric": metric, "n": n, "coverage": n / of, **score}


def _score(classify: bool, n: int, error: float, square: float) -> dict[str, float]:
    """Value and 95% interval from the number of labels and the sums of errors and squared errors."""
    if classify:
        low, high = wilson(n - round(error), n)
        return {"value": 1 - error / n, "low": low, "high": high}
    mean = error / n
    half = Z * float(np.sqrt(max(square / n - mean**2, 0.0) / max(n - 1, 1)))
    return {"value": mean, "low": max(0.0, mean - half), "high": mean + half}
