"""The numbers of a segmentation: `metrics` and `scores` of counted pixels, image by image.

Whole masks are never kept: a confusion matrix of each image and its log-loss hold everything that is reported, and an
interval draws whole images, since the pixels of one image are no independent rows.

Legend: N images, K classes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lamplighter.core.errors import DataError
from lamplighter.metrics import intervals, masks
from lamplighter.metrics.score import Score

_OF_COUNTS: dict[str, Callable[[np.ndarray], float]] = {
    "mean_iou": masks.mean_iou,
    "dice": masks.mean_dice,
    "pixel_accuracy": lambda confusion: float(np.trace(confusion) / confusion.sum()),
}


def metrics(confusion: np.ndarray, log_loss: np.ndarray | None = None) -> dict[str, float]:
    """Metrics over all pixels of the images.

    Args:
        confusion: (N, K, K) pixels of each image, the truth in rows; N > 0.
        log_loss: (N,) sum of -log p(true class) over the pixels of each image; None where it is not known.

    Returns:
        ``loss`` (log-loss of a pixel, where it is known), ``mean_iou``, ``dice``, ``pixel_accuracy``.

    >>> confusion = np.array([[[3, 1], [0, 0]], [[0, 0], [1, 3]]])
    >>> {name: round(value, 4) for name, value in metrics(confusion, np.array([2.0, 4.0])).items()}
    {'loss': 0.75, 'mean_iou': 0.6, 'dice': 0.75, 'pixel_accuracy': 0.75}
    """
    whole = _counted(confusion)
    loss = {} if log_loss is None else {"loss": float(log_loss.sum() / whole.sum())}
    return {**loss, **{name: of(whole) for name, of in _OF_COUNTS.items()}}


def scores(
    confusion: np.ndarray, log_loss: np.ndarray | None = None, seed: int = 0, level: float = 0.95
) -> dict[str, Score]:
    """`metrics` with 95% intervals; n counts images, and resamples draw whole images.

    Args:
        confusion: (N, K, K).
        log_loss: (N,), or None.
        seed: of the run.
        level: coverage.
    """
    n, classes = confusion.shape[:2]
    losses = np.zeros(n) if log_loss is None else log_loss
    drawn = intervals.resampled_means(np.column_stack([confusion.reshape(n, -1), losses]), seed)
    matrices = drawn[:, :-1].reshape(-1, classes, classes)
    resampled = {
        "loss": drawn[:, -1] / matrices.sum(axis=(1, 2)),
        **{name: np.array([of(matrix) for matrix in matrices]) for name, of in _OF_COUNTS.items()},
    }
    return {
        name: _score(value, resampled[name], n, level)
        for name, value in metrics(confusion, log_loss).items()
        if np.isfinite(value)
    }


def of_classes(confusion: np.ndarray, seed: int = 0, level: float = 0.95) -> list[Score | None]:
    """IoU of each class with an interval; None for a class that is neither there nor answered.

    >>> confusion = np.array([[[3, 1, 0], [0, 0, 0], [0, 0, 0]], [[0, 0, 0], [1, 3, 0], [0, 0, 0]]])
    >>> [score and round(score.value, 4) for score in of_classes(confusion)]
    [0.6, 0.6, None]
    """
    n, classes = confusion.shape[:2]
    whole = _counted(confusion)
    present = whole.sum(axis=0) + whole.sum(axis=1) > 0
    matrices = intervals.resampled_means(confusion.reshape(n, -1), seed).reshape(-1, classes, classes)
    hits = np.diagonal(matrices, axis1=1, axis2=2)
    union = matrices.sum(axis=1) + matrices.sum(axis=2) - hits
    drawn = np.divide(hits, union, out=np.full(hits.shape, np.nan), where=union > 0)
    each = masks.iou(whole)
    return [_score(float(each[k]), drawn[:, k], n, level) if present[k] else None for k in range(classes)]


def _score(value: float, resampled: np.ndarray, n: int, level: float) -> Score:
    low, high = intervals.percentile(resampled, level)
    return Score(value=value, n=n, low=min(low, value), high=max(high, value), level=level)


def _counted(confusion: np.ndarray) -> np.ndarray:
    """The matrix of all images together."""
    whole: np.ndarray = np.asarray(confusion).sum(axis=0)
    if not whole.sum():
        raise DataError("no pixel has a class; nothing can be judged")
    return whole
