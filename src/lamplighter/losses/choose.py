"""``loss: auto``: which loss fits a target, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lamplighter.core.recipe import Component

FAR = 5.0
"""Robust standard deviations from the median beyond which a target's value is an outlier: one in two million would be
with a normal distribution."""

HEAVY = 0.001
"""Share of outliers from which a target has heavy tails. Measured (tests/tasks/test_regression.py, an MLP, 4 seeds)
against the squared error: without outliers Huber's loss ends with the same error; at 0.2% (noise of Student's t with 2
degrees of freedom) with 17% less, at 5% (gross errors) with 83% less."""

UNEVEN = 10
"""How many times as frequent as the rarest class the most frequent one is when a note is due."""


def for_classes(name: str, labels: Sequence[str], counts: Sequence[int] | None) -> list[str]:
    """Why cross-entropy, and what to know when classes are unevenly frequent.

    Class weights are never chosen by themselves. They buy balanced accuracy with accuracy and with probabilities that
    no longer follow how frequent the classes are; only whoever uses the answers knows whether that is wanted.

    Args:
        name: of the target.
        labels: its classes.
        counts: training rows of each; None when they are not known.

    >>> for_classes("sick", ["no", "yes"], None)
    ["loss: cross-entropy, because 'sick' is one of 2 classes"]
    """
    notes = [f"loss: cross-entropy, because '{name}' is one of {len(labels)} classes"]
    if counts is not None and max(counts) >= UNEVEN * min(counts):
        rare, common = (counts.index(find(counts)) for find in (min, max))
        notes.append(
            f"'{labels[rare]}' has {counts[rare]:,} of {sum(counts):,} training rows, '{labels[common]}' "
            f"{counts[common]:,}: look at balanced_accuracy beside accuracy; task.class_weights: balanced lets rare "
            "classes count as much as frequent ones, at the price of probabilities that overstate them"
        )
    return notes


class Tail(NamedTuple):
    """How far out the values of one target lie.

    The robust standard deviation is 1.4826 times the median of |y - median|. For a normal distribution it is the
    standard deviation; outliers do not stretch it.

    Attributes:
        outliers: share of the values more than `FAR` robust standard deviations from the median.
        spread: robust standard deviation divided by the standard deviation; small when outliers stretch the latter.
    """

    outliers: float
    spread: float


def tails(y: Tensor) -> list[Tail]:
    """The tail of each target. Where half the values are equal there is no robust deviation, and no outlier.

    Args:
        y: (N,) or (N, T), NaN for a blank.

    >>> tails(torch.tensor([1.0, 2.0, 3.0, 4.0, 100.0]))[0].outliers
    0.2
    """
    return [_tail(column[torch.isfinite(column)]) for column in y.double().reshape(len(y), -1).T]


def for_numbers(names: Sequence[str], found: Sequence[Tail] | None) -> tuple[Component, str]:
    """Mean squared error, or Huber's loss when a target has heavy tails; and why.

    Huber's delta is then one robust standard deviation of the target: the standard deviation, by which targets are
    scaled, is itself stretched by the outliers.

    Args:
        names: of the targets.
        found: the tail of each; None when it is not known.

    >>> for_numbers(["price"], [Tail(0.0, 0.98)])
    (Component(name='mse'), "loss: mse, because 'price' is a number without heavy tails")
    """
    named = ", ".join(f"'{name}'" for name in names)
    what = f"{named} {'are numbers' if len(names) > 1 else 'is a number'}"
    if found is None:
        return Component(name="mse"), f"loss: mse, because {what}; the training targets are not in memory to look at"
    worst = max(range(len(names)), key=lambda index: found[index].outliers)
    if found[worst].outliers < HEAVY:
        return Component(name="mse"), f"loss: mse, because {what} without heavy tails"
    delta = float(f"{min(found[worst].spread, 1.0):.3g}")
    return Component.model_validate({"name": "huber", "delta": delta}), (
        f"loss: huber with delta {delta:g}, because {found[worst].outliers:.1%} of the training values of "
        f"'{names[worst]}' lie more than {FAR:g} robust standard deviations from the median; it answers something "
        "between mean and median (task.loss: {name: mse} answers the mean)"
    )


def _tail(y: Tensor) -> Tail:
    if not len(y):
        return Tail(0.0, 1.0)
    distance = (y - y.median()).abs()
    robust, deviation = 1.4826 * distance.median(), y.std(correction=0)
    if robust == 0:
        return Tail(0.0, 1.0)
    return Tail(float((distance > FAR * robust).double().mean()), float(robust / deviation))


def for_pixels(name: str, labels: Sequence[str], counts: Sequence[int] | None) -> list[str]:
    """Why cross-entropy and Dice together, and what to know when a class is hardly to be seen.

    Args:
        name: of the target.
        labels: its classes.
        counts: training pixels of each; None when they are not known.

    >>> for_pixels("mask", ["ground", "road"], [99_000, 1_000])[1]
    "'road' has 1.0% of the training pixels: look at its IoU in the report, not at pixel_accuracy"
    """
    cross_entropy = "binary cross-entropy" if len(labels) == 2 else "cross-entropy"
    notes = [f"loss: {cross_entropy} + Dice, because '{name}' gives each pixel one of {len(labels)} classes"]
    if counts is not None and max(counts) > 0 and max(counts) >= UNEVEN * min(counts):
        rare = counts.index(min(counts))
        share = counts[rare] / sum(counts)
        notes.append(
            f"'{labels[rare]}' has {share:.1%} of the training pixels: look at its IoU in the report, not at "
            "pixel_accuracy"
        )
    return notes
