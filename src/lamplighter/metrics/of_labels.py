"""Registered metrics of answered classes: functions of the confusion matrix."""

from __future__ import annotations

from math import inf, nan
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from lamplighter.metrics import averages
from lamplighter.metrics import confusion as cm
from lamplighter.metrics.averages import Average
from lamplighter.metrics.base import ConfusionMetric


class Accuracy(ConfusionMetric):
    """Share of rows that are right, see `lamplighter.metrics.confusion.accuracy`."""

    bounds = (0.0, 1.0)
    key = "accuracy"

    def of(self, confusion: np.ndarray) -> float:
        return cm.accuracy(confusion)

    def rows(self, predicted: Any, y: Any) -> np.ndarray:
        return (np.asarray(predicted) == np.asarray(y)).astype(np.float64)


class BalancedAccuracy(ConfusionMetric):
    """Mean recall of the classes, see `lamplighter.metrics.confusion.balanced_accuracy`."""

    bounds = (0.0, 1.0)
    key = "balanced_accuracy"

    def of(self, confusion: np.ndarray) -> float:
        return cm.balanced_accuracy(confusion)


class MCC(ConfusionMetric):
    """Matthews correlation coefficient, see `lamplighter.metrics.confusion.mcc`."""

    bounds = (-1.0, 1.0)
    key = "mcc"

    def of(self, confusion: np.ndarray) -> float:
        return cm.mcc(confusion) if confusion.any() else nan


class CohenKappa(ConfusionMetric):
    """Agreement beyond chance, see `lamplighter.metrics.confusion.cohen_kappa`.

    Args:
        weights: how much a mistake costs by the distance of the class indices; null: all mistakes alike.
    """

    bounds = (-inf, 1.0)

    def __init__(self, weights: Literal["linear", "quadratic"] | None = None) -> None:
        self.weights = weights
        self.key = "kappa" if weights is None else f"kappa_{weights}"

    def of(self, confusion: np.ndarray) -> float:
        return cm.cohen_kappa(confusion, self.weights)


class _Averaged(ConfusionMetric):
    """Keeps which average of which classes."""

    bounds = (0.0, 1.0)

    def __init__(self, name: str, average: Average, positive: int) -> None:
        self.average = average
        self.positive = positive
        self.key = name if average == "binary" else f"{name}_{average}"

    def count(self, predicted: Any, y: Any) -> np.ndarray:
        """At least as large as the positive class asks for."""
        counted = super().count(predicted, y)
        missing = max(0, self.positive + 1 - len(counted)) if self.average == "binary" else 0
        return np.pad(counted, (0, missing))


class Precision(_Averaged):
    """Of the rows given a class, the share that is it, see `lamplighter.metrics.averages.precision`.

    Args:
        average: over the classes; binary is of the positive class alone.
        positive: index of the class that binary is about.
    """

    def __init__(self, average: Average = "macro", positive: Annotated[int, Field(ge=0)] = 1) -> None:
        super().__init__("precision", average, positive)

    def of(self, confusion: np.ndarray) -> float:
        return averages.precision(confusion, self.average, positive=self.positive) if len(confusion) else nan


class Recall(_Averaged):
    """Of the rows of a class, the share that was found, see `lamplighter.metrics.averages.recall`.

    Args:
        average: over the classes; binary is of the positive class alone.
        positive: index of the class that binary is about.
    """

    def __init__(self, average: Average = "macro", positive: Annotated[int, Field(ge=0)] = 1) -> None:
        super().__init__("recall", average, positive)

    def of(self, confusion: np.ndarray) -> float:
        return averages.recall(confusion, self.average, positive=self.positive) if len(confusion) else nan


class FBeta(_Averaged):
    """Precision and recall in one number, see `lamplighter.metrics.averages.fbeta`.

    Args:
        beta: how many times as much recall weighs as precision; 1 is the F1.
        average: over the classes; binary is of the positive class alone.
        positive: index of the class that binary is about.
    """

    def __init__(
        self,
        beta: Annotated[float, Field(gt=0)] = 1.0,
        average: Average = "macro",
        positive: Annotated[int, Field(ge=0)] = 1,
    ) -> None:
        super().__init__(f"f{beta:g}", average, positive)
        self.beta = beta

    def of(self, confusion: np.ndarray) -> float:
        if not len(confusion):
            return nan
        return averages.fbeta(confusion, self.average, beta=self.beta, positive=self.positive)
