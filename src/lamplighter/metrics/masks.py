"""Overlap of predicted and true masks: IoU and Dice, from counts of pixels.

A mask gives every pixel a class index. Count the pixels of all images in one confusion matrix (`mask_confusion`; the
matrices of batches may be added up), and the metrics of the matrix are those of the whole data set: large objects
count by their size. The mean over images, in which each image counts alike, is the mean of `dice_of_images`.

Legend: N images, K classes, C confusion matrix, TP = C[k, k], FP = sum of column k less TP, FN = sum of row k less TP.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lamplighter.core.errors import DataError
from lamplighter.metrics import confusion as cm


def mask_confusion(
    predicted: np.ndarray, y: np.ndarray, num_classes: int, ignore_index: int | None = None
) -> np.ndarray:
    """Count pixels by true and predicted class.

    Args:
        predicted: (N, ...) class indices.
        y: (N, ...) true class indices.
        num_classes: K.
        ignore_index: pixels whose truth is this count nowhere; it may lie outside of 0..K-1.

    Returns:
        (K, K) int64, rows are the truth.

    Raises:
        DataError: shapes that do not fit, or a class index outside 0..K-1.

    >>> y = np.array([[[0, 1, 1], [0, 1, 255]]])
    >>> mask_confusion(np.array([[[0, 0, 1], [0, 1, 1]]]), y, 2, ignore_index=255).tolist()
    [[2, 0], [1, 2]]
    """
    predicted, y = np.asarray(predicted), np.asarray(y)
    if predicted.shape != y.shape:
        raise DataError(f"predicted masks of shape {predicted.shape} do not fit true ones of shape {y.shape}")
    predicted, y = predicted.ravel(), y.ravel()
    if ignore_index is not None:
        counted = y != ignore_index
        predicted, y = predicted[counted], y[counted]
    return cm.confusion_matrix(predicted, y, num_classes)


def iou(confusion: np.ndarray) -> np.ndarray:
    """Intersection over union of each class (Jaccard 1912): TP / (TP + FP + FN). 0 where all three are 0.

    >>> iou(np.array([[2, 0], [1, 2]])).round(4).tolist()
    [0.6667, 0.6667]
    """
    hits = np.diag(confusion)
    return cm.ratio(hits, confusion.sum(axis=0) + confusion.sum(axis=1) - hits)


def dice(confusion: np.ndarray) -> np.ndarray:
    """Dice coefficient of each class (Dice 1945): 2 TP / (2 TP + FP + FN), which is the F1. 0 where all three are 0.

    >>> dice(np.array([[2, 0], [1, 2]])).tolist()
    [0.8, 0.8]
    """
    return cm.fbeta(confusion)


def mean_iou(confusion: np.ndarray, without: Sequence[int] = ()) -> float:
    """Mean `iou` over the classes that occur in truth or prediction. NaN where none does.

    Args:
        confusion: (K, K).
        without: classes to leave out of the mean, such as the background.
    """
    return _mean_of_present(iou(confusion), confusion, without)


def mean_dice(confusion: np.ndarray, without: Sequence[int] = ()) -> float:
    """Mean `dice` over the classes that occur in truth or prediction. NaN where none does. Arguments as in `mean_iou`.

    >>> mean_dice(np.array([[2, 0, 0], [1, 2, 0], [0, 0, 0]])), mean_dice(np.array([[4, 0], [2, 2]]), without=(0,))
    (0.8, 0.6666666666666666)
    """
    return _mean_of_present(dice(confusion), confusion, without)


def dice_of_images(
    predicted: np.ndarray, y: np.ndarray, ignore_index: int | None = None, without: Sequence[int] = ()
) -> np.ndarray:
    """(N,) `mean_dice` of each image; 1 for an image in which none of the classes occurs, as nothing was missed.

    Arguments as in `mask_confusion` and `mean_iou`; or confusion matrices (N, K, K) with their row sums (N, K).

    >>> y = np.array([[[0, 1], [0, 1]], [[0, 0], [0, 0]]])
    >>> dice_of_images(np.array([[[0, 0], [0, 1]], [[0, 0], [0, 0]]]), y, without=(0,)).round(4).tolist()
    [0.6667, 1.0]
    """
    predicted, y = np.asarray(predicted), np.asarray(y)
    if are_counts(predicted, y):
        matrices, known = without_ignored(predicted, ignore_index), predicted.shape[1]
    else:
        if predicted.shape != y.shape:
            raise DataError(f"predicted masks of shape {predicted.shape} do not fit true ones of shape {y.shape}")
        known = known_classes(predicted, y, ignore_index)
        matrices = np.array([mask_confusion(own, true, known, ignore_index) for own, true in zip(predicted, y)])
    each = [mean_dice(matrix, [k for k in without if k < known]) for matrix in matrices]
    return np.nan_to_num(np.array(each), nan=1.0)


def are_counts(predicted: np.ndarray, y: np.ndarray) -> bool:
    """Whether these are confusion matrices (N, K, K) with their row sums (N, K) rather than two masks of one shape."""
    return predicted.ndim == 3 and y.ndim == 2 and predicted.shape == (*y.shape, y.shape[1])


def without_ignored(matrices: np.ndarray, ignore_index: int | None) -> np.ndarray:
    """Confusion matrices (N, K, K) in which pixels of one true class count nowhere."""
    if ignore_index is None or not 0 <= ignore_index < matrices.shape[1]:
        return matrices
    kept = matrices.copy()
    kept[:, ignore_index] = 0
    return kept


def known_classes(predicted: np.ndarray, y: np.ndarray, ignore_index: int | None) -> int:
    """One more than the largest class index, apart from ignored pixels."""
    counted = np.ones(y.shape, dtype=bool) if ignore_index is None else y != ignore_index
    return 1 + max((int(part[counted].max()) for part in (predicted, y) if counted.any()), default=-1)


def _mean_of_present(each: np.ndarray, confusion: np.ndarray, without: Sequence[int]) -> float:
    present = confusion.sum(axis=0) + confusion.sum(axis=1) > 0
    left_out = np.asarray(without, dtype=np.int64)
    cm.check_classes(left_out, len(confusion), "class to leave out")
    present[left_out] = False
    return float(each[present].mean()) if present.any() else float("nan")
