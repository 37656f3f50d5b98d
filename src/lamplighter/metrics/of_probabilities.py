"""Registered metrics of class probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from lamplighter.metrics import calibration, classification
from lamplighter.metrics.base import MeanMetric, Metric, SumMetric
from lamplighter.metrics.streaming import Total


class LogLoss(MeanMetric):
    """How surprising the true classes were, see `lamplighter.metrics.classification.log_loss`."""

    bounds = (0.0, inf)
    takes = "probabilities"
    mode = "min"
    key = "log_loss"

    def rows(self, predicted: Any, y: Any) -> np.ndarray:
        return classification.log_losses(*classification.checked(predicted, y))


class Brier(MeanMetric):
    """Squared distance from the truth, see `lamplighter.metrics.classification.brier`."""

    bounds = (0.0, 2.0)
    takes = "probabilities"
    mode = "min"
    key = "brier"

    def rows(self, predicted: Any, y: Any) -> np.ndarray:
        return classification.squared_distances(*classification.checked(predicted, y))


class TopKAccuracy(MeanMetric):
    """Share of rows whose class is among the k most probable, see `lamplighter.metrics.classification.top_k_accuracy`.

    Args:
        k: how many guesses are allowed.
    """

    bounds = (0.0, 1.0)
    takes = "probabilities"

    def __init__(self, k: Annotated[int, Field(gt=0)] = 5) -> None:
        self.k = k
        self.key = f"top_{k}_accuracy"

    def rows(self, predicted: Any, y: Any) -> np.ndarray:
        return classification.in_top_k(*classification.checked(predicted, y), self.k)


class _Binned(SumMetric):
    """Keeps, for each confidence bin, how many rows and their gap."""

    bounds = (0.0, 1.0)
    takes = "probabilities"
    mode = "min"

    def __init__(self, bins: int) -> None:
        self.bins = bins

    def terms(self, predicted: Any, y: Any) -> np.ndarray:
        p, y = classification.checked(predicted, y)
        gap, bin_of = calibration.gaps(p, y, self.bins)
        inside = bin_of[:, None] == np.arange(self.bins)
        return np.concatenate([inside, np.where(inside, gap[:, None], 0.0)], axis=1)


class ECE(_Binned):
    """Mean gap between stated confidence and share of right answers, see `lamplighter.metrics.calibration.ece`.

    Args:
        bins: of equal width, between confidence 0 and 1.
    """

    key = "ece"

    def __init__(self, bins: Annotated[int, Field(gt=0)] = calibration.BINS) -> None:
        super().__init__(bins)

    def of(self, sums: Sequence[Total]) -> float:
        counts, sizes = _halves(sums)
        n = sum(counts)
        return float(sum(sizes) / n) if n else float("nan")

    def contributions(self, predicted: Any, y: Any) -> np.ndarray:
        return calibration.ece_contributions(*classification.checked(predicted, y), self.bins)

    def compute(self, predicted: Any, y: Any) -> float:
        return calibration.ece(*classification.checked(predicted, y), self.bins)


class MCE(_Binned):
    """Largest gap between stated confidence and share of right answers, see `lamplighter.metrics.calibration.mce`.

    Args:
        bins: of equal width, between confidence 0 and 1.
    """

    key = "mce"

    def __init__(self, bins: Annotated[int, Field(gt=0)] = calibration.BINS) -> None:
        super().__init__(bins)

    def of(self, sums: Sequence[Total]) -> float:
        each = [float(size / n) for n, size in zip(*_halves(sums)) if n]
        return float(np.max(each)) if each else float("nan")

    def compute(self, predicted: Any, y: Any) -> float:
        return calibration.mce(*classification.checked(predicted, y), self.bins)


class AdaptiveECE(Metric):
    """`ece` over bins of equally many rows, see `lamplighter.metrics.calibration.adaptive_ece`. Keeps every row.

    Args:
        bins: that share the rows equally.
    """

    bounds = (0.0, 1.0)
    takes = "probabilities"
    mode = "min"
    key = "adaptive_ece"

    def __init__(self, bins: Annotated[int, Field(gt=0)] = calibration.BINS) -> None:
        self.bins = bins

    def compute(self, predicted: Any, y: Any) -> float:
        return calibration.adaptive_ece(*classification.checked(predicted, y), self.bins)


def _halves(sums: Sequence[Total]) -> tuple[list[Total], list[Total]]:
    """Rows of each bin, and how far off it is."""
    half = len(sums) // 2
    return list(sums[:half]), [total if total >= 0 else -total for total in sums[half:]]
