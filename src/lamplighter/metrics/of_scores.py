"""Registered metrics of how well scores rank rows. They keep every row: no summary of part of a ranking is exact."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from lamplighter.core.errors import DataError
from lamplighter.metrics import classification, ranking
from lamplighter.metrics.base import Metric


class ROCAUC(Metric):
    """Chance that a row of a class gets a higher score for it than another row, see `lamplighter.metrics.ranking`.

    Args:
        average: over the classes; micro puts all decisions into one ranking.
        multi_class: each class against the rest (ovr), or all pairs of classes (ovo, without micro).
    """

    bounds = (0.0, 1.0)
    takes = "scores"

    def __init__(
        self,
        average: Literal["macro", "weighted", "micro"] = "macro",
        multi_class: Literal["ovr", "ovo"] = "ovr",
    ) -> None:
        if multi_class == "ovo" and average == "micro":
            raise DataError("metric 'roc_auc': pairs of classes (ovo) have no micro average; use macro or weighted")
        self.average = average
        self.multi_class = multi_class
        pairs = "_ovo" if multi_class == "ovo" else ""
        self.key = f"roc_auc{pairs}" if average == "macro" else f"roc_auc{pairs}_{average}"

    def compute(self, predicted: Any, y: Any) -> float:
        p, y = _two_columns(predicted, y)
        if self.multi_class == "ovo":
            return ranking.roc_auc_ovo(p, y, "weighted" if self.average == "weighted" else "macro")
        return ranking.roc_auc_ovr(p, y, self.average)

    def contributions(self, predicted: Any, y: Any) -> np.ndarray | None:
        if (self.average, self.multi_class) != ("macro", "ovr"):
            return None
        p, y = _two_columns(predicted, y)
        return ranking.roc_auc_ovr(p, y) + ranking.roc_auc_influence(p, y)


class AveragePrecision(Metric):
    """Area under the precision-recall curve, see `lamplighter.metrics.ranking.average_precision`.

    Args:
        average: over the classes; micro puts all decisions into one ranking. Of two classes it is that of the second.
    """

    bounds = (0.0, 1.0)
    takes = "scores"

    def __init__(self, average: Literal["macro", "weighted", "micro"] = "macro") -> None:
        self.average = average
        self.key = "average_precision" if average == "macro" else f"average_precision_{average}"

    def compute(self, predicted: Any, y: Any) -> float:
        return ranking.average_precision_ovr(*_two_columns(predicted, y), self.average)

    def contributions(self, predicted: Any, y: Any) -> np.ndarray | None:
        p, y = _two_columns(predicted, y)
        if p.shape[1] != 2:
            return None
        return ranking.average_precision(p[:, 1], y == 1) + ranking.average_precision_influence(p[:, 1], y == 1)


def _two_columns(predicted: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Scores (N, K); (N,) scores of a yes-or-no question become two columns."""
    predicted, y = np.asarray(predicted, dtype=np.float64), np.asarray(y)
    if predicted.ndim == 1:
        predicted, y = np.column_stack([-predicted, predicted]), y.astype(np.int64)
    return classification.checked(predicted, y)
