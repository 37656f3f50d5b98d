"""ROC and precision-recall curves: every threshold that changes an answer, equal scores taken together.

Legend: N rows, D distinct scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lamplighter.core.errors import DataError
from lamplighter.metrics.confusion import checked_weight


@dataclass(frozen=True)
class Counts:
    """What answering "yes" from a threshold upwards would hit, for every threshold from the highest down.

    Attributes:
        thresholds: (D,) the distinct scores, falling.
        hits: (D,) positive rows with at least that score (true positives).
        alarms: (D,) negative rows with at least that score (false positives).
    """

    thresholds: np.ndarray
    hits: np.ndarray
    alarms: np.ndarray

    @property
    def positives(self) -> float:
        """All positive rows."""
        return float(self.hits[-1]) if self.hits.size else 0.0

    @property
    def negatives(self) -> float:
        """All negative rows."""
        return float(self.alarms[-1]) if self.alarms.size else 0.0


@dataclass(frozen=True)
class RocCurve:
    """Share of the positives found against share of the negatives falsely alarmed, from (0, 0) to (1, 1).

    Attributes:
        false_positive_rate: (D + 1,).
        true_positive_rate: (D + 1,).
        thresholds: (D + 1,) falling; the first is infinite: nothing is answered "yes".
    """

    false_positive_rate: np.ndarray
    true_positive_rate: np.ndarray
    thresholds: np.ndarray


@dataclass(frozen=True)
class PrecisionRecallCurve:
    """Precision against recall, from the lowest threshold (all rows "yes") to none.

    Attributes:
        precision: (D + 1,), the last is 1 by convention.
        recall: (D + 1,) falling, the last is 0.
        thresholds: (D,) rising.
    """

    precision: np.ndarray
    recall: np.ndarray
    thresholds: np.ndarray


def counts_by_threshold(scores: np.ndarray, positive: np.ndarray, weight: np.ndarray | None = None) -> Counts:
    """Hits and false alarms at every distinct score.

    Args:
        scores: (N,) higher means more likely positive.
        positive: (N,) truth, bool or 0/1.
        weight: (N,) how much each row counts; None for one each.

    Raises:
        DataError: shapes that do not fit, or a weight that is negative or not finite.

    >>> counts = counts_by_threshold(np.array([0.9, 0.4, 0.4, 0.1]), np.array([1, 0, 1, 0]))
    >>> counts.thresholds.tolist(), counts.hits.tolist(), counts.alarms.tolist()
    ([0.9, 0.4, 0.1], [1.0, 2.0, 2.0], [0.0, 1.0, 2.0])
    """
    scores, positive = checked(scores, positive)
    weight = checked_weight(weight, len(scores))
    if weight is not None and not weight.all():
        scores, positive, weight = scores[weight > 0], positive[weight > 0], weight[weight > 0]
    order = np.argsort(-scores, kind="stable")
    falling, yes = scores[order], positive[order]
    ends = np.append(falling[1:] != falling[:-1], True)[: len(falling)]
    if weight is None:
        hits = np.cumsum(yes, dtype=np.float64)[ends]
        return Counts(falling[ends], hits, np.flatnonzero(ends) + 1 - hits)
    own = weight[order]
    hits = np.cumsum(np.where(yes, own, 0.0))[ends]
    return Counts(falling[ends], hits, np.cumsum(np.where(yes, 0.0, own))[ends])


def roc_curve(scores: np.ndarray, positive: np.ndarray, weight: np.ndarray | None = None) -> RocCurve:
    """The ROC curve. NaN rates of a kind of row that is not there. Arguments as in `counts_by_threshold`.

    >>> curve = roc_curve(np.array([0.9, 0.4, 0.4, 0.1]), np.array([1, 0, 1, 0]))
    >>> curve.false_positive_rate.tolist(), curve.true_positive_rate.tolist()
    ([0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0])
    """
    counts = counts_by_threshold(scores, positive, weight)
    return RocCurve(
        np.append(0.0, counts.alarms) / (counts.negatives or np.nan),
        np.append(0.0, counts.hits) / (counts.positives or np.nan),
        np.append(np.inf, counts.thresholds),
    )


def precision_recall_curve(
    scores: np.ndarray, positive: np.ndarray, weight: np.ndarray | None = None
) -> PrecisionRecallCurve:
    """The precision-recall curve. Recall is 1 everywhere but at its end when there is no positive row.

    Arguments as in `counts_by_threshold`. The area under it is `lamplighter.metrics.ranking.average_precision`, a sum
    over its steps; joining its points by straight lines would promise too much.

    >>> curve = precision_recall_curve(np.array([0.9, 0.4, 0.4, 0.1]), np.array([1, 0, 1, 0]))
    >>> curve.precision.round(3).tolist(), curve.recall.tolist(), curve.thresholds.tolist()
    ([0.5, 0.667, 1.0, 1.0], [1.0, 1.0, 0.5, 0.0], [0.1, 0.4, 0.9])
    """
    counts = counts_by_threshold(scores, positive, weight)
    precision = counts.hits / (counts.hits + counts.alarms)
    recall = counts.hits / counts.positives if counts.positives else np.ones(len(counts.hits))
    return PrecisionRecallCurve(
        np.append(precision[::-1], 1.0), np.append(recall[::-1], 0.0), counts.thresholds[::-1].copy()
    )


def checked(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) float64 and (N,) bool, or a DataError."""
    scores, positive = np.asarray(scores, dtype=np.float64), np.asarray(positive).astype(bool)
    if scores.shape != positive.shape or scores.ndim != 1:
        raise DataError(f"scores of shape {scores.shape} do not fit targets of shape {positive.shape}: give one each")
    return scores, positive
