"""Metrics of class probabilities, and the two summaries that training and reports use: `metrics` and `scores`."""

from __future__ import annotations

import numpy as np

from lamplighter.core.errors import DataError
from lamplighter.metrics import confusion as cm
from lamplighter.metrics import intervals
from lamplighter.metrics.calibration import ece, ece_contributions
from lamplighter.metrics.ranking import (
    average_precision,
    average_precision_influence,
    roc_auc_influence,
    roc_auc_ovr,
)
from lamplighter.metrics.score import Score

_NAN = float("nan")
_SHARES = {"roc_auc", "average_precision", "ece"}  # first-order resamples of these may leave 0..1


def log_loss(probabilities: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Mean of -log(probability of the true class), natural logarithm. NaN without rows.

    Args:
        probabilities: (N, K); values below 2.2e-16 count as that, so one certain mistake costs 36 and not infinity.
        y: (N,) class indices.
        weight: (N,) how much each row counts; None for one each.

    >>> round(log_loss(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1])), 4)
    0.1643
    """
    p, y = checked(probabilities, y)
    return _mean(log_losses(p, y), weight)


def brier(probabilities: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Mean squared distance of the probabilities from the truth (Brier 1950). NaN without rows.

    Two classes: mean (p_1 - y)^2, from 0 to 1. More: mean sum_k (p_k - [y = k])^2, from 0 to 2. Arguments as in
    `log_loss`.

    >>> p = np.array([0.9, 0.1, 0.8, 0.6, 0.3, 0.7, 0.55, 0.2])
    >>> round(brier(np.stack([1 - p, p], axis=1), np.array([1, 0, 1, 1, 0, 1, 0, 0])), 4)
    0.0928
    """
    p, y = checked(probabilities, y)
    return _mean(squared_distances(p, y), weight)


def top_k_accuracy(probabilities: np.ndarray, y: np.ndarray, k: int = 5, weight: np.ndarray | None = None) -> float:
    """Share of rows whose true class is among the k most probable. NaN without rows.

    Of equal probabilities the lower class index comes first, so top-1 is exactly the accuracy.

    >>> top_k_accuracy(np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]), np.array([1, 0]), k=2)
    0.5
    """
    p, y = checked(probabilities, y)
    return _mean(in_top_k(p, y, k), weight)


def metrics(
    probabilities: np.ndarray, y: np.ndarray, answers: np.ndarray | None = None, positive: int = 1
) -> dict[str, float]:
    """Every number of one split; cheap enough for each epoch.

    Args:
        probabilities: (N, K) rows summing to 1.
        y: (N,) class indices.
        answers: (N,) the classes that were answered; by default the most probable ones, the first of equals.
        positive: of two classes, the one that ``precision``, ``recall``, ``f1`` and ``average_precision`` are about.

    Returns:
        ``loss`` (`log_loss`), ``accuracy``, ``balanced_accuracy``, ``precision_macro``, ``recall_macro``,
        ``f1_macro``, ``mcc``, ``kappa``, for two classes ``precision``, ``recall``, ``f1`` and ``average_precision``,
        then ``roc_auc`` (binary, or one against the rest averaged), ``brier``, ``ece``. A number that these rows do not
        define is NaN: all of them without rows, ``roc_auc`` when only one class is present, ``kappa`` when all answers
        besides are right.

    Raises:
        DataError: shapes that do not fit, or a class index outside 0..K-1.

    >>> values = metrics(np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), np.array([0, 1, 1]))
    >>> {name: round(value, 3) for name, value in values.items()}  # doctest: +NORMALIZE_WHITESPACE
    {'loss': 0.415, 'accuracy': 0.667, 'balanced_accuracy': 0.75, 'precision_macro': 0.75, 'recall_macro': 0.75,
     'f1_macro': 0.667, 'mcc': 0.5, 'kappa': 0.4, 'precision': 1.0, 'recall': 0.5, 'f1': 0.667,
     'average_precision': 1.0, 'roc_auc': 1.0, 'brier': 0.137, 'ece': 0.3}
    """
    p, y = checked(probabilities, y)
    matrix = _matrix(p, y, answers)
    counts = np.diag(matrix), matrix.sum(axis=0), matrix.sum(axis=1)
    values = {"loss": log_loss(p, y), "accuracy": cm.accuracy(matrix)}
    values |= {name: float(value) if len(y) else _NAN for name, value in _of_counts(*counts, positive).items()}
    if p.shape[1] == 2:
        values["average_precision"] = average_precision(p[:, positive], y == positive) if len(y) else _NAN
    return {**values, "roc_auc": roc_auc_ovr(p, y), "brier": brier(p, y), "ece": ece(p, y)}


def scores(
    probabilities: np.ndarray,
    y: np.ndarray,
    seed: int = 0,
    level: float = 0.95,
    resamples: int = intervals.RESAMPLES,
    answers: np.ndarray | None = None,
    positive: int = 1,
) -> dict[str, Score]:
    """`metrics` with number of rows and interval. Numbers that are not defined are left out.

    ``accuracy``, ``precision`` and ``recall`` have Wilson's interval; the n of the latter two are the rows answered
    with the positive class, and the rows of it. Other functions of the confusion matrix have percentile bootstrap
    intervals over resampled matrices, ``loss`` and ``brier`` over resampled rows, ``roc_auc``, ``average_precision``
    and ``ece`` over resampled first-order contributions of the rows. A bootstrap interval shrinks to a point when no
    row is wrong; Wilson's then still says how much the sample can promise. Where n is 0 there is no score.

    Args:
        probabilities: (N, K).
        y: (N,).
        seed: of the run; the same seed gives the same intervals.
        level: coverage.
        resamples: of the bootstrap.
        answers: as in `metrics`.
        positive: as in `metrics`.

    >>> p = np.array([[0.9, 0.1]] * 30 + [[0.2, 0.8]] * 30)
    >>> print(scores(p, np.array([0] * 30 + [1] * 27 + [0] * 3))["accuracy"])
    0.9500 (95% interval 0.8630 to 0.9829, n = 60)
    """
    p, y = checked(probabilities, y)
    n = len(y)
    if not n:
        return {}
    values = metrics(p, y, answers, positive)
    matrix = _matrix(p, y, answers)
    contributions = {
        "loss": log_losses(p, y),
        "roc_auc": values["roc_auc"] + roc_auc_influence(p, y),
        "brier": squared_distances(p, y),
        "ece": ece_contributions(p, y),
    }
    if p.shape[1] == 2:
        influence = average_precision_influence(p[:, positive], y == positive)
        contributions["average_precision"] = values["average_precision"] + influence
    means = intervals.resampled_means(np.stack([*contributions.values()], axis=1), seed, resamples)
    resampled = {
        name: np.clip(drawn, 0, 1) if name in _SHARES else drawn for name, drawn in zip(contributions, means.T)
    }
    resampled |= _of_counts(*intervals.resampled_counts(matrix, seed, resamples), positive)
    bounds = {name: intervals.percentile(drawn, level) for name, drawn in resampled.items()}
    sizes = dict.fromkeys(values, n)
    for name, (hits, of) in _proportions(matrix, positive).items():
        bounds[name], sizes[name] = intervals.wilson(hits, of, level), of
    return {
        name: Score(value=value, n=sizes[name], low=bounds[name][0], high=bounds[name][1], level=level)
        for name, value in values.items()
        if sizes[name] and np.isfinite([value, *bounds[name]]).all()
    }


def log_losses(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(N,) numbers whose mean is the `log_loss`."""
    tiny = np.finfo(np.float64).eps
    return -np.log(np.clip(p[np.arange(len(y)), y], tiny, 1 - tiny))


def squared_distances(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(N,) numbers whose mean is the `brier` score."""
    truth = np.zeros_like(p)
    truth[np.arange(len(y)), y] = 1
    return ((p - truth) ** 2).sum(axis=1) / (2 if p.shape[1] == 2 else 1)


def in_top_k(p: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
    """(N,) 1.0 where the true class is among the k most probable, else 0.0; NaN where a probability is NaN."""
    own = p[np.arange(len(y)), y][:, None]
    before = (p > own) | ((p == own) & (np.arange(p.shape[1]) < y[:, None]))
    return np.where(np.isnan(p).any(axis=1), np.nan, before.sum(axis=1) < k)


def checked(probabilities: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, K) float64 and (N,) int64.

    Raises:
        DataError: shapes that do not fit, or a class index outside 0..K-1.
    """
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(y)
    if p.ndim != 2 or y.shape != p.shape[:1] or not p.shape[1]:
        raise DataError(f"probabilities of shape {p.shape} do not fit targets of shape {y.shape}: (N, K) and (N,)")
    cm.check_classes(y, p.shape[1])
    return p, y.astype(np.int64)


def _matrix(p: np.ndarray, y: np.ndarray, answers: np.ndarray | None) -> np.ndarray:
    return cm.confusion_matrix(p.argmax(axis=1) if answers is None else answers, y, p.shape[1])


def _of_counts(hits: np.ndarray, predicted: np.ndarray, actual: np.ndarray, positive: int) -> dict[str, np.ndarray]:
    """Metrics from the counts of each class on the last axis; leading axes are resamples."""
    found = {
        "balanced_accuracy": cm.mean_recall(hits, actual),
        "precision_macro": cm.mean_precision(hits, predicted, actual),
        "recall_macro": cm.macro_recall(hits, predicted, actual),
        "f1_macro": cm.mean_f1(hits, predicted, actual),
        "mcc": cm.mcc_from_counts(hits, predicted, actual),
        "kappa": cm.kappa_from_counts(hits, predicted, actual),
    }
    if hits.shape[-1] == 2:
        own, answered, rows = (counts[..., positive] for counts in (hits, predicted, actual))
        found |= {
            "precision": cm.ratio(own, answered),
            "recall": cm.ratio(own, rows),
            "f1": cm.ratio(2 * own, answered + rows),
        }
    return found


def _proportions(matrix: np.ndarray, positive: int) -> dict[str, tuple[int, int]]:
    """Metrics that are a share of rows: how many, of how many."""
    found = {"accuracy": (int(np.trace(matrix)), int(matrix.sum()))}
    if len(matrix) == 2:
        hits = int(matrix[positive, positive])
        found["precision"] = hits, int(matrix[:, positive].sum())
        found["recall"] = hits, int(matrix[positive].sum())
    return found


def _mean(rows: np.ndarray, weight: np.ndarray | None) -> float:
    """Mean of the rows; NaN of none."""
    weight = cm.checked_weight(weight, len(rows))
    if weight is None:
        return float(rows.mean()) if len(rows) else _NAN
    total = weight.sum()
    return float((rows * weight).sum() / total) if total > 0 else _NAN
