"""From which probability on a yes-or-no question is answered "yes": criteria that choose the threshold from rows.

Fit a threshold on validation rows and judge it on test rows: on the rows it was chosen by it looks better than it is.
A criterion is called with the probabilities and the truth and returns the threshold; `decide` applies it.

Legend: N rows, D distinct probabilities.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from lamplighter.metrics import confusion as cm
from lamplighter.metrics.curves import Counts, checked, counts_by_threshold

DEFAULT = 0.5
"""Where rows give no reason for another one: there are none, or only of one kind."""
NEVER = 1.0 + 2.0**-20
"""Above every probability, in float32 too: nothing is answered "yes"."""


@dataclass(frozen=True)
class Cuts:
    """Every way to divide the rows by a threshold, from "nobody" to "everybody".

    Attributes:
        thresholds: (D + 1,) falling.
        hits: (D + 1,) true positives.
        alarms: (D + 1,) false positives.
        positives: all positive rows.
        negatives: all negative rows.
    """

    thresholds: np.ndarray
    hits: np.ndarray
    alarms: np.ndarray
    positives: float
    negatives: float

    @property
    def precision(self) -> np.ndarray:
        """Of the rows answered "yes", the share that is positive; 0 where there are none."""
        return cm.ratio(self.hits, self.hits + self.alarms)

    @property
    def recall(self) -> np.ndarray:
        """Of the positive rows, the share that is answered "yes"."""
        return self.hits / self.positives


class Criterion(ABC):
    """Base of all criteria."""

    @abstractmethod
    def __call__(self, probabilities: np.ndarray, positive: np.ndarray) -> float:
        """The threshold for these rows.

        Args:
            probabilities: (N,) of "yes".
            positive: (N,) truth, bool or 0/1.
        """


class BestCut(Criterion):
    """Base of criteria that weigh all cuts against each other: `value` says how good each is.

    The threshold lies halfway between two probabilities that occur. Of equally good cuts the one nearest to 0.5 is
    taken. `DEFAULT` when there are no rows, or only of one kind.
    """

    def __call__(self, probabilities: np.ndarray, positive: np.ndarray) -> float:
        probabilities, positive = checked(probabilities, positive)
        if not positive.any() or positive.all() or not np.isfinite(probabilities).all():
            return DEFAULT
        cuts = _cuts(counts_by_threshold(probabilities.astype(np.float32), positive))
        value = self.value(cuts)
        best = np.flatnonzero(value >= value.max() - 1e-12 * abs(value.max()))
        return float(cuts.thresholds[best[np.argmin(np.abs(cuts.thresholds[best] - DEFAULT))]])

    @abstractmethod
    def value(self, cuts: Cuts) -> np.ndarray:
        """(D + 1,) how good each cut is; there is at least one positive and one negative row."""


class MaxFBeta(BestCut):
    """Makes F-beta as large as it gets.

    Args:
        beta: how many times as much finding positives weighs as being right about them; 1 is the F1.

    >>> MaxFBeta()(np.array([0.9, 0.7, 0.4, 0.3, 0.1]), np.array([1, 1, 1, 0, 0]))  # doctest: +ELLIPSIS
    0.35...
    """

    def __init__(self, beta: Annotated[float, Field(gt=0)] = 1.0) -> None:
        self.beta = beta

    def value(self, cuts: Cuts) -> np.ndarray:
        b2 = self.beta**2
        return (1 + b2) * cuts.hits / (cuts.hits + cuts.alarms + b2 * cuts.positives)


class Youden(BestCut):
    """Makes Youden's J as large as it gets (1950): share of positives found less share of negatives alarmed.

    The point of the ROC curve farthest above the diagonal. It does not depend on how common positives are.
    """

    def value(self, cuts: Cuts) -> np.ndarray:
        return cuts.hits / cuts.positives - cuts.alarms / cuts.negatives


class MinCost(BestCut):
    """Makes the total cost of mistakes as small as it gets.

    Args:
        false_positive: what a false alarm costs.
        false_negative: what a missed positive costs.

    >>> p, y = np.array([0.9, 0.6, 0.5, 0.2]), np.array([1, 0, 1, 0])
    >>> round(MinCost(false_negative=10.0)(p, y), 4), round(MinCost(false_positive=10.0)(p, y), 4)
    (0.35, 0.75)
    """

    def __init__(
        self, false_positive: Annotated[float, Field(ge=0)] = 1.0, false_negative: Annotated[float, Field(ge=0)] = 1.0
    ) -> None:
        self.false_positive = false_positive
        self.false_negative = false_negative

    def value(self, cuts: Cuts) -> np.ndarray:
        return -(self.false_positive * cuts.alarms + self.false_negative * (cuts.positives - cuts.hits))


class RecallAtPrecision(BestCut):
    """Finds as many positives as it can while at least this share of its "yes" is right.

    Where no threshold is that precise, the most precise one is taken.

    Args:
        precision: the least share of "yes" that must be right.
    """

    def __init__(self, precision: Annotated[float, Field(gt=0, le=1)] = 0.9) -> None:
        self.precision = precision

    def value(self, cuts: Cuts) -> np.ndarray:
        return _within(cuts.precision >= self.precision, cuts.recall, cuts.precision)


class PrecisionAtRecall(BestCut):
    """Is right as often as it can be while at least this share of the positives is found.

    Args:
        recall: the least share of positives that must be found.
    """

    def __init__(self, recall: Annotated[float, Field(gt=0, le=1)] = 0.9) -> None:
        self.recall = recall

    def value(self, cuts: Cuts) -> np.ndarray:
        return _within(cuts.recall >= self.recall, cuts.precision, cuts.recall)


class Fixed(Criterion):
    """Takes the threshold that the recipe says, whatever the rows are.

    Args:
        value: the threshold.
    """

    def __init__(self, value: Annotated[float, Field(gt=0, lt=1)] = DEFAULT) -> None:
        self.threshold = value

    def __call__(self, probabilities: np.ndarray, positive: np.ndarray) -> float:
        return self.threshold


def decide(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """(N,) whether each row is answered "yes": its probability is at least the threshold, both as float32.

    In float32, because that is how the monitor stores probabilities: the same row must get the same answer there.

    >>> decide(np.array([0.2, 0.5, 0.8]), 0.5).tolist()
    [False, True, True]
    """
    return np.asarray(probabilities).astype(np.float32) >= np.float32(threshold)


def answers(probabilities: np.ndarray, threshold: float, positive: int = 1) -> np.ndarray:
    """(N,) class indices: the positive class from the threshold upwards, else the other one.

    Args:
        probabilities: (N, 2).
        threshold: of the positive class.
        positive: its index, 0 or 1.

    >>> answers(np.array([[0.7, 0.3], [0.9, 0.1]]), 0.2).tolist()
    [1, 0]
    """
    return np.where(decide(probabilities[:, positive], threshold), positive, 1 - positive)


def _cuts(counts: Counts) -> Cuts:
    """Cut number j says "yes" to the j largest distinct probabilities."""
    least_yes = np.append(NEVER, counts.thresholds).astype(np.float32)
    largest_no = np.append(counts.thresholds, 0.0).astype(np.float32)
    middle = ((least_yes + largest_no) / 2).astype(np.float32)
    middle = np.where(middle > largest_no, middle, least_yes)  # neighbours in float32 have nothing between them
    hits, alarms = np.append(0.0, counts.hits), np.append(0.0, counts.alarms)
    return Cuts(middle.astype(np.float64), hits, alarms, counts.positives, counts.negatives)


def _within(allowed: np.ndarray, wanted: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """``wanted`` where allowed, with ``otherwise`` to choose among equals; where nothing is allowed, the reverse."""
    return np.where(allowed, wanted + 1e-9 * otherwise, -1.0) if allowed.any() else otherwise + 1e-9 * wanted
