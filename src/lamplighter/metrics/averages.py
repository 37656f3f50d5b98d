"""Precision, recall and F-beta of several classes as one number: binary, micro, macro or weighted.

Legend: K classes, C (K, K) confusion matrix with the truth in rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from lamplighter.core.errors import DataError
from lamplighter.metrics import confusion as cm

Average = Literal["binary", "micro", "macro", "weighted"]
"""``binary``: of one class, the positive one. ``micro``: hits, answers and rows of all classes added up first; over all
classes of single-label rows that is the accuracy, so it says something new only for some of the classes. ``macro``:
mean over the classes. ``weighted``: mean weighted by the rows of each class."""


def precision(
    confusion: np.ndarray, average: Average = "macro", *, positive: int = 1, classes: Sequence[int] | None = None
) -> float:
    """Averaged `lamplighter.metrics.confusion.precision`. Of nothing it is NaN.

    Args:
        confusion: (K, K).
        average: see `Average`.
        positive: the class that ``binary`` is about.
        classes: which classes to average over; by default those that have rows or were answered.

    >>> precision(np.array([[2, 2], [1, 3]]), "binary"), precision(np.array([[2, 2], [1, 3]]), "micro")
    (0.6, 0.625)
    """
    return _averaged(cm.precision(confusion), confusion, average, positive, classes, answered=1.0, actual=0.0)


def recall(
    confusion: np.ndarray, average: Average = "macro", *, positive: int = 1, classes: Sequence[int] | None = None
) -> float:
    """Averaged `lamplighter.metrics.confusion.recall`. Arguments as in `precision`.

    >>> recall(np.array([[2, 2], [1, 3]]), "macro"), recall(np.array([[3, 3], [1, 3]]), "weighted")
    (0.625, 0.6)
    """
    return _averaged(cm.recall(confusion), confusion, average, positive, classes, answered=0.0, actual=1.0)


def fbeta(
    confusion: np.ndarray,
    average: Average = "macro",
    *,
    beta: float = 1.0,
    positive: int = 1,
    classes: Sequence[int] | None = None,
) -> float:
    """Averaged `lamplighter.metrics.confusion.fbeta`; beta 1 is the F1. Other arguments as in `precision`.

    >>> round(fbeta(np.array([[2, 2], [1, 3]]), "binary", beta=2), 4)
    0.7143
    """
    b2 = beta * beta
    each = cm.fbeta(confusion, beta)
    return _averaged(each, confusion, average, positive, classes, 1 / (1 + b2), b2 / (1 + b2))


def _averaged(
    each: np.ndarray,
    confusion: np.ndarray,
    average: Average,
    positive: int,
    classes: Sequence[int] | None,
    answered: float,
    actual: float,
) -> float:
    """Micro is sum of hits / (``answered`` times the answers + ``actual`` times the rows)."""
    hits, rows, answers = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    known = len(confusion)
    if average == "binary":
        cm.check_classes(np.array([positive]), known, "positive class")
        return float(each[positive]) if confusion.sum() else float("nan")
    if classes is None:
        chosen = np.flatnonzero(rows + answers > 0)
    else:
        chosen = np.asarray(classes, dtype=np.int64)
        if chosen.size != np.unique(chosen).size:
            raise DataError(f"classes {list(classes)}: name each once")
        cm.check_classes(chosen, known, "class")
    if not chosen.size or not confusion.sum():
        return float("nan")
    if average == "micro":
        below = answered * answers[chosen].sum() + actual * rows[chosen].sum()
        return float(hits[chosen].sum() / below) if below > 0 else 0.0
    if average == "macro":
        return float(each[chosen].mean())
    total = rows[chosen].sum()
    return float((each[chosen] * rows[chosen]).sum() / total) if total > 0 else 0.0
