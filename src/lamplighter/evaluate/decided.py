"""What the report shows of a question with two answers: its curves, and what each threshold would mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamplighter.core import registry
from lamplighter.core.signature import Signature
from lamplighter.evaluate.charts import precision_recall_chart, roc_chart
from lamplighter.evaluate.glossary import figure
from lamplighter.metrics import confusion as cm
from lamplighter.metrics.curves import precision_recall_curve, roc_curve
from lamplighter.metrics.intervals import wilson
from lamplighter.metrics.ranking import average_precision, roc_auc
from lamplighter.metrics.thresholds import DEFAULT, decide

_OFFERED: list[dict[str, Any]] = [
    {"name": "max-f-beta", "beta": 1.0},
    {"name": "max-f-beta", "beta": 2.0},
    {"name": "youden"},
]
_WORDS = {
    "fixed": "The threshold that the recipe says.",
    "max-f-beta": "Largest F{beta:g}: finding positives weighs {times} being right about them.",
    "youden": "Youden's J: largest share of positives found less share of the others alarmed.",
    "min-cost": "Least cost, at {false_positive:g} for a false alarm and {false_negative:g} for a miss.",
    "recall-at-precision": "Finds the most while at least {precision:.0%} of its positive answers are right.",
    "precision-at-recall": "Is right the most while at least {recall:.0%} of the positives are found.",
}


def decided(
    probabilities: np.ndarray,
    y: np.ndarray,
    signature: Signature,
    positive: int = 1,
    threshold: float | None = None,
    chosen: dict[str, Any] | None = None,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
) -> dict[str, Any] | None:
    """Curves of the positive class, and a table of thresholds chosen on validation rows and judged on these.

    Args:
        probabilities: (N, 2), calibrated.
        y: (N,).
        signature: names the two classes.
        positive: index of the positive one.
        threshold: in use; None: the likelier class is answered.
        chosen: the criterion that chose it, as in a recipe's ``bundle.threshold``.
        validation: probabilities and truth of the validation rows; None: no threshold can be proposed.

    Returns:
        ``positive``, ``other``, ``share``, ``roc``, ``precision_recall``, ``roc_auc``, ``average_precision``, ``rows``,
        ``in_use`` for the template; None when these rows are not of two classes.
    """
    scores, truth = probabilities[:, positive], y == positive
    if not truth.any() or truth.all() or not np.isfinite(scores).all():
        return None
    in_use = DEFAULT if threshold is None else threshold
    rows = _rows(scores, truth, positive, threshold, chosen, validation)
    roc, curve = roc_curve(scores, truth), precision_recall_curve(scores, truth)
    answered = decide(scores, in_use)
    at = (answered[~truth].mean(), answered[truth].mean(), truth[answered].mean() if answered.any() else np.nan)
    label = signature.labels[positive]
    return {
        "positive": label,
        "other": signature.labels[1 - positive],
        "share": figure(truth.mean(), "percent"),
        "roc": roc_chart(roc, (at[0], at[1]), "share of positives found against share of others alarmed"),
        "precision_recall": precision_recall_chart(
            curve, (at[1], at[2]), float(truth.mean()), "precision against recall over all thresholds"
        ),
        "roc_auc": figure(roc_auc(scores, truth), "fraction"),
        "average_precision": figure(average_precision(scores, truth), "fraction"),
        "rows": rows,
        "tuned": threshold is not None,
        "in_use": figure(in_use),
    }


def _rows(
    scores: np.ndarray,
    truth: np.ndarray,
    positive: int,
    threshold: float | None,
    chosen: dict[str, Any] | None,
    validation: tuple[np.ndarray, np.ndarray] | None,
) -> list[dict[str, Any]]:
    """One row for each threshold; the one in use is marked."""
    usual = _row("Answers the likelier class.", "", DEFAULT, scores, truth, in_use=threshold is None)
    rows = [usual]
    if threshold is not None:
        rows.append(_row(_words(chosen), _snippet(chosen), threshold, scores, truth, in_use=True))
    if validation is not None:
        p, y = validation
        for offered in _OFFERED:
            if chosen is None or {**offered} != chosen:
                found = _criterion(offered)(p[:, positive], y == positive)
                rows.append(_row(_words(offered), _snippet(offered), found, scores, truth, in_use=False))
    return rows


def _row(
    words: str, snippet: str, threshold: float, scores: np.ndarray, truth: np.ndarray, in_use: bool
) -> dict[str, Any]:
    answered = decide(scores, threshold)
    hits, alarms = int((answered & truth).sum()), int((answered & ~truth).sum())
    missed = int((~answered & truth).sum())
    matrix = np.array([[len(truth) - hits - alarms - missed, alarms], [missed, hits]])
    return {
        "words": words,
        "snippet": snippet,
        "threshold": figure(threshold),
        "answered": hits + alarms,
        "precision": _proportion(hits, hits + alarms),
        "recall": _proportion(hits, hits + missed),
        "f1": figure(float(cm.f1(matrix)[1]), "fraction"),
        "accuracy": figure(cm.accuracy(matrix), "percent"),
        "in_use": in_use,
    }


def _proportion(successes: int, n: int) -> dict[str, str]:
    if not n:
        return {"value": "–", "interval": ""}
    low, high = wilson(successes, n)
    return {"value": figure(successes / n, "percent"), "interval": f"{100 * low:.0f} to {100 * high:.0f}"}


def _criterion(component: dict[str, Any]) -> Any:
    return registry.build("threshold", component["name"], {k: v for k, v in component.items() if k != "name"})


def _words(component: dict[str, Any] | None) -> str:
    """What a criterion does; a user's own is called by its name."""
    component = component or {"name": "fixed"}
    if component["name"] not in _WORDS:
        return f"Chosen by {component['name']}."
    beta = component.get("beta", 1.0)
    times = "as much as" if beta == 1 else f"{beta:g} times as much as"
    return _WORDS[component["name"]].format(**{**component, "beta": beta, "times": times})


def _snippet(component: dict[str, Any] | None) -> str:
    """As it stands in a recipe."""
    if component is None:
        return ""
    inside = ", ".join(
        f"{key}: {value:g}" if isinstance(value, float) else f"{key}: {value}" for key, value in component.items()
    )
    return f"bundle: {{threshold: {{{inside}}}}}"
