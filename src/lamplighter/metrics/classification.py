"""Metrics of class probabilities, and the two summaries that training and reports use: `metrics` and `scores`."""

from __future__ import annotations

import numpy as np

from lamplighter.core.errors import DataError
from lamplighter.metrics import confusion as cm
from lamplighter.metrics import intervals
from lamplighter.metrics.calibration import ece, ece_contributions
from lamplighter.metrics.ranking import roc_auc_influence, roc_auc_ovr
from lamplighter.metrics.score import Score

_NAN = float("nan")


def log_loss(probabilities: np.ndarray, y: np.ndarray) -> float:
    """Mean of -log(probability of the true class), natural logarithm. NaN without rows.

    Args:
        probabilities: (N, K); values below 2.2e-16 count as that, so one certain mistake costs 36 and not infinity.
        y: (N,) class indices.

    >>> round(log_loss(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1])), 4)
    0.1643
    """
    p, y = _checked(probabilities, y)
    return float(_log_losses(p, y).mean()) if len(y) else _NAN


def brier(probabilities: np.ndarray, y: np.ndarray) -> float:
    """Mean squared distance of the probabilities from the truth (Brier 1950). NaN without rows.

    Two classes: mean (p_1 - y)^2, from 0 to 1. More: mean sum_k (p_k - [y = k])^2, from 0 to 2.

    >>> p = np.array([0.9, 0.1, 0.8, 0.6, 0.3, 0.7, 0.55, 0.2])
    >>> round(brier(np.stack([1 - p, p], axis=1), np.array([1, 0, 1, 1, 0, 1, 0, 0])), 4)
    0.0928
    """
    p, y = _checked(probabilities, y)
    return float(_squared_distances(p, y).mean()) if len(y) else _NAN


def top_k_accuracy(probabilities: np.ndarray, y: np.ndarray, k: int = 5) -> float:
    """Share of rows whose true class is among the k most probable. NaN without rows.

    Of equal probabilities the lower class index comes first, so top-1 is exactly the accuracy.

    >>> top_k_accuracy(np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]), np.array([1, 0]), k=2)
    0.5
    """
    p, y = _checked(probabilities, y)
    if not len(y):
        return _NAN
    own = p[np.arange(len(y)), y][:, None]
    before = (p > own) | ((p == own) & (np.arange(p.shape[1]) < y[:, None]))
    return float((before.sum(axis=1) < k).mean())


def metrics(probabilities: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Every number of one split; cheap enough for each epoch.

    Args:
        probabilities: (N, K) rows summing to 1.
        y: (N,) class indices.

    Returns:
        ``loss`` (`log_loss`), ``accuracy``, ``balanced_accuracy``, ``f1_macro``, ``roc_auc`` (binary, or one against
        the rest averaged), ``brier``, ``ece``. A number that these rows do not define is NaN: all of them without
        rows, ``roc_auc`` when only one class is present.

    Raises:
        DataError: shapes that do not fit, or a class index outside 0..K-1.

    >>> values = metrics(np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), np.array([0, 1, 1]))
    >>> {name: round(value, 3) for name, value in values.items()}  # doctest: +NORMALIZE_WHITESPACE
    {'loss': 0.415, 'accuracy': 0.667, 'balanced_accuracy': 0.75, 'f1_macro': 0.667, 'roc_auc': 1.0, 'brier': 0.137,
     'ece': 0.3}
    """
    p, y = _checked(probabilities, y)
    matrix = cm.confusion_matrix(p.argmax(axis=1), y, p.shape[1])
    return {
        "loss": log_loss(p, y),
        "accuracy": cm.accuracy(matrix),
        "balanced_accuracy": cm.balanced_accuracy(matrix),
        "f1_macro": cm.f1_macro(matrix),
        "roc_auc": roc_auc_ovr(p, y),
        "brier": brier(p, y),
        "ece": ece(p, y),
    }


def scores(
    probabilities: np.ndarray,
    y: np.ndarray,
    seed: int = 0,
    level: float = 0.95,
    resamples: int = intervals.RESAMPLES,
) -> dict[str, Score]:
    """`metrics` with number of rows and interval. Numbers that are not defined are left out.

    ``accuracy`` has Wilson's interval. ``balanced_accuracy`` and ``f1_macro`` have percentile bootstrap intervals over
    resampled confusion matrices, ``loss`` and ``brier`` over resampled rows, ``roc_auc`` and ``ece`` over resampled
    first-order contributions of the rows. A bootstrap interval shrinks to a point when no row is wrong; Wilson's
    then still says how much the sample can promise.

    Args:
        probabilities: (N, K).
        y: (N,).
        seed: of the run; the same seed gives the same intervals.
        level: coverage.
        resamples: of the bootstrap.

    >>> p = np.array([[0.9, 0.1]] * 30 + [[0.2, 0.8]] * 30)
    >>> print(scores(p, np.array([0] * 30 + [1] * 27 + [0] * 3))["accuracy"])
    0.9500 (95% interval 0.8630 to 0.9829, n = 60)
    """
    p, y = _checked(probabilities, y)
    n = len(y)
    if not n:
        return {}
    values = metrics(p, y)
    matrix = cm.confusion_matrix(p.argmax(axis=1), y, p.shape[1])
    hits, predicted, actual = intervals.resampled_counts(matrix, seed, resamples)
    contributions = {
        "loss": _log_losses(p, y),
        "roc_auc": values["roc_auc"] + roc_auc_influence(p, y),
        "brier": _squared_distances(p, y),
        "ece": ece_contributions(p, y),
    }
    resampled = dict(
        zip(contributions, intervals.resampled_means(np.stack([*contributions.values()], axis=1), seed, resamples).T)
    )
    resampled["roc_auc"] = np.clip(resampled["roc_auc"], 0, 1)
    resampled["ece"] = np.clip(resampled["ece"], 0, 1)
    resampled["balanced_accuracy"] = cm.mean_recall(hits, actual)
    resampled["f1_macro"] = cm.mean_f1(hits, predicted, actual)
    bounds = {name: intervals.percentile(drawn, level) for name, drawn in resampled.items()}
    bounds["accuracy"] = intervals.wilson(int(np.trace(matrix)), n, level)
    return {
        name: Score(value=value, n=n, low=bounds[name][0], high=bounds[name][1], level=level)
        for name, value in values.items()
        if np.isfinite([value, *bounds[name]]).all()
    }


def _log_losses(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    tiny = np.finfo(np.float64).eps
    return -np.log(np.clip(p[np.arange(len(y)), y], tiny, 1 - tiny))


def _squared_distances(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    truth = np.zeros_like(p)
    truth[np.arange(len(y)), y] = 1
    return ((p - truth) ** 2).sum(axis=1) / (2 if p.shape[1] == 2 else 1)


def _checked(probabilities: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, K) float64 and (N,) int64, or a DataError."""
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(y)
    if p.ndim != 2 or y.shape != p.shape[:1] or not p.shape[1]:
        raise DataError(f"probabilities of shape {p.shape} do not fit targets of shape {y.shape}: (N, K) and (N,)")
    cm.check_classes(y, p.shape[1])
    return p, y.astype(np.int64)
