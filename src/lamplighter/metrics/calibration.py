"""Do confidences mean what they say? Softmax, reliability bins, ECE and temperature scaling.

Legend: N rows, K classes, M bins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lamplighter.core.errors import DataError
from lamplighter.metrics.confusion import check_classes

BINS = 15
_BETA_LOW, _BETA_HIGH = 0.01, 100.0  # 1 / temperature


@dataclass(frozen=True)
class Reliability:
    """Rows grouped by confidence into M bins of equal width.

    Attributes:
        edges: (M + 1,) from 0 to 1; bin m holds confidences in (edges[m], edges[m + 1]], the first also 0.
        count: (M,) rows.
        confidence: (M,) mean confidence; NaN for an empty bin.
        accuracy: (M,) share of right answers; NaN for an empty bin.
    """

    edges: np.ndarray
    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """exp(z_k / T) / sum_j exp(z_j / T) in float64; the largest logit is subtracted first, so nothing overflows.

    Args:
        logits: (N, K).
        temperature: T > 0; above 1 makes answers less certain, below 1 more.

    Returns:
        (N, K) float64, rows sum to 1.

    >>> softmax(np.array([[0.0, 0.0], [1000.0, 0.0]]))
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    if not scaled.size:
        return scaled
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def reliability(probabilities: np.ndarray, y: np.ndarray, bins: int = BINS) -> Reliability:
    """Mean confidence beside accuracy, bin by bin: the points of a calibration curve.

    Args:
        probabilities: (N, K); the largest of a row is its confidence, the first of equals the answer.
        y: (N,) class indices.
        bins: M.

    >>> curve = reliability(np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]), np.array([0, 1, 1]), bins=2)
    >>> curve.count.tolist(), round(float(curve.confidence[1]), 3), round(float(curve.accuracy[1]), 3)
    ([0, 3], 0.8, 0.667)
    """
    confidence, right, bin_of = _binned(probabilities, y, bins)
    count = np.bincount(bin_of, minlength=bins)
    empty = np.full(bins, np.nan)
    filled = count > 0
    return Reliability(
        edges=np.linspace(0, 1, bins + 1),
        count=count,
        confidence=np.divide(np.bincount(bin_of, confidence, bins), count, out=empty.copy(), where=filled),
        accuracy=np.divide(np.bincount(bin_of, right, bins), count, out=empty.copy(), where=filled),
    )


def ece(probabilities: np.ndarray, y: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error (Naeini et al. 2015): sum_m n_m / N |accuracy_m - confidence_m|. NaN without rows.

    >>> round(ece(np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]), np.array([0, 1, 1]), bins=2), 4)
    0.1333
    """
    if not len(y):
        return float("nan")
    gap, bin_of = gaps(probabilities, y, bins)
    return float(np.abs(np.bincount(bin_of, gap, bins)).sum() / len(y))


def mce(probabilities: np.ndarray, y: np.ndarray, bins: int = BINS) -> float:
    """Maximum calibration error (Naeini et al. 2015): max_m |accuracy_m - confidence_m| over bins with rows.

    A bin of few rows is often far off by chance: look at `reliability` for how many stand in it. NaN without rows.

    >>> round(mce(np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]), np.array([0, 1, 1]), bins=4), 4)
    0.35
    """
    if not len(y):
        return float("nan")
    gap, bin_of = gaps(probabilities, y, bins)
    count = np.bincount(bin_of, minlength=bins)
    total = np.abs(np.bincount(bin_of, gap, bins))
    return float((total[count > 0] / count[count > 0]).max())


def adaptive_ece(probabilities: np.ndarray, y: np.ndarray, bins: int = BINS) -> float:
    """`ece` over bins that hold equally many rows instead of being equally wide (Nguyen and O'Connor 2015).

    Sure models crowd into the last of the equal widths; here every bin has its share. The edges are the m / M quantiles
    of the confidence; equal confidences stand in one bin, so that the order of rows changes nothing. NaN without rows.

    >>> p = np.array([[0.99, 0.01], [0.98, 0.02], [0.97, 0.03], [0.6, 0.4]])
    >>> round(adaptive_ece(p, np.array([0, 0, 1, 1]), bins=2), 4)
    0.4
    """
    if not len(y):
        return float("nan")
    confidence, right, _ = _binned(probabilities, y, bins)
    if np.isnan(confidence).any():
        return float("nan")
    order = np.lexsort((right, confidence))
    gaps, rising = (right - confidence)[order], confidence[order]
    edges = rising[-(-np.arange(1, bins) * len(rising) // bins) - 1]
    bin_of = np.searchsorted(edges, rising, side="left")
    return float(np.abs(np.bincount(bin_of, gaps, bins)).sum() / len(rising))


def ece_contributions(probabilities: np.ndarray, y: np.ndarray, bins: int = BINS) -> np.ndarray:
    """(N,) numbers whose mean is the `ece`: the signed gap of each row, turned positive by its bin's sign.

    Resampling these keeps each bin's sign. Resampling the ECE itself adds noise to every absolute value and gives
    intervals that lie above the estimate.
    """
    gap, bin_of = gaps(probabilities, y, bins)
    return np.sign(np.bincount(bin_of, gap, bins))[bin_of] * gap


def gaps(probabilities: np.ndarray, y: np.ndarray, bins: int = BINS) -> tuple[np.ndarray, np.ndarray]:
    """(N,) signed gap of each row, 1 or 0 for right or wrong less its confidence, and (N,) its bin."""
    confidence, right, bin_of = _binned(probabilities, y, bins)
    return right - confidence, bin_of


def fit_temperature(logits: np.ndarray, y: np.ndarray) -> float:
    """The temperature T that minimises the mean log-loss of softmax(logits / T) (Guo et al. 2017).

    Newton's method on beta = 1 / T, in which the loss is convex, kept inside a shrinking bracket. Fit it on
    validation rows, never on test rows. Accuracy stays as it is: the order of the classes does not change.

    Args:
        logits: (N, K).
        y: (N,) class indices.

    Returns:
        T in [0.01, 100]. 1.0 when no finite T > 0 can be learned because there are no rows or every row's true class
        has the largest logit: without a single mistake the loss falls for ever as T goes to 0.

    Raises:
        DataError: logits that are not finite, or a class index outside 0..K-1.

    >>> logits = np.array([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [2.0, 0.0]])
    >>> round(fit_temperature(logits, np.array([0, 0, 0, 1])), 6)  # 3 of 4 right: sigmoid(2 / T) = 0.75
    1.820478
    """
    z, y = np.asarray(logits, dtype=np.float64), np.asarray(y, dtype=np.int64)
    if not len(y):
        return 1.0
    check_classes(y, z.shape[1])
    if not np.isfinite(z).all():
        raise DataError(f"row {np.argwhere(~np.isfinite(z))[0][0]}: logits are not finite; the model has diverged")
    z = z - z[np.arange(len(y)), y][:, None]  # the true class at 0: the loss is mean logsumexp(beta z)
    if (z <= 0).all():
        return 1.0
    return 1 / _minimise(z)


def _minimise(z: np.ndarray) -> float:
    """The beta in [0.01, 100] where mean logsumexp(beta z) is smallest: the root of its rising derivative."""
    low, high, beta = _BETA_LOW, _BETA_HIGH, 1.0
    for _ in range(100):
        p = softmax(beta * z)
        mean = (p * z).sum(axis=1)
        slope, curvature = mean.mean(), ((p * z**2).sum(axis=1) - mean**2).mean()
        low, high = (beta, high) if slope < 0 else (low, beta)
        step = beta - slope / curvature if curvature > 0 else low
        following = step if low < step < high else float(np.sqrt(low * high))
        if abs(following - beta) <= 1e-12 * beta:
            break
        beta = following
    return float(beta)


def _binned(probabilities: np.ndarray, y: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N,) confidence, (N,) 1.0 where right else 0.0, (N,) bin of each row."""
    p = np.asarray(probabilities, dtype=np.float64)
    if not len(p):
        return np.empty(0), np.empty(0), np.empty(0, dtype=np.int64)
    confidence, right = p.max(axis=1), (p.argmax(axis=1) == y).astype(np.float64)
    bin_of = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence, side="left")
    return confidence, right, bin_of
