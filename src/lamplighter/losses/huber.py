"""Huber's loss and its two relatives: squared near the target, absolute far from it."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from lamplighter.losses.criterion import Criterion, Takes, difference, mean_of


def huber(prediction: Tensor, target: Tensor, delta: float = 1.0) -> Tensor:
    """Mean of e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2), with e = prediction - target (Huber 1964).

    Its gradient is e, cut off at delta: no single row can pull harder than that.

    Args:
        prediction: any shape.
        target: same shape; NaN marks a blank. When all are blank the loss is NaN and its gradient 0.
        delta: where squared turns into absolute.

    Returns:
        Scalar.

    >>> huber(torch.tensor([0.5, 3.0]), torch.tensor([0.0, 0.0]))
    tensor(1.3125)
    """
    error, present = difference(prediction, target)
    return mean_of(_huber(error, delta), present)[0]


def smooth_l1(prediction: Tensor, target: Tensor, beta: float = 1.0) -> Tensor:
    """`huber` divided by its delta: e^2 / (2 beta) where |e| < beta, else |e| - beta / 2 (Girshick 2015).

    For beta towards 0 it becomes the mean absolute error, while `huber` with delta towards 0 becomes 0.

    Args:
        prediction: any shape.
        target: same shape; NaN marks a blank. When all are blank the loss is NaN and its gradient 0.
        beta: where squared turns into absolute.

    Returns:
        Scalar.

    >>> smooth_l1(torch.tensor([0.5, 3.0]), torch.tensor([0.0, 0.0]), beta=2.0)
    tensor(1.0312)
    """
    error, present = difference(prediction, target)
    return mean_of(_huber(error, beta) / beta, present)[0]


def log_cosh(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean of log cosh e: close to e^2 / 2 near 0 and to |e| - log 2 far away, and smooth everywhere.

    Computed as |e| + log(1 + exp(-2 |e|)) - log 2, in which nothing overflows.

    Args:
        prediction: any shape.
        target: same shape; NaN marks a blank. When all are blank the loss is NaN and its gradient 0.

    Returns:
        Scalar.

    >>> log_cosh(torch.tensor([1.0, 1000.0]), torch.tensor([0.0, 0.0]))
    tensor(499.8703)
    """
    error, present = difference(prediction, target)
    return mean_of(_log_cosh(error), present)[0]


def _huber(error: Tensor, delta: float) -> Tensor:
    inside = error.clamp(-delta, delta)
    return inside * (error - inside / 2)


def _log_cosh(error: Tensor) -> Tensor:
    size = error.abs()
    return size + torch.log1p(torch.exp(-2 * size)) - math.log(2)


class Huber(Criterion):
    """Huber's loss: squared error for small errors, absolute error for large ones. For targets with outliers.

    Args:
        delta: where squared turns into absolute, in standard deviations of the target.
    """

    takes: ClassVar[Takes] = "numbers"

    def __init__(self, delta: Annotated[float, Field(gt=0)] = 1.0) -> None:
        super().__init__()
        self.delta = delta

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        error, present = difference(prediction, target)
        return _huber(error, self.delta), present


class SmoothL1(Criterion):
    """Smooth L1: Huber's loss divided by its delta, so that large errors count as in the mean absolute error.

    Args:
        beta: where squared turns into absolute, in standard deviations of the target.
    """

    takes: ClassVar[Takes] = "numbers"

    def __init__(self, beta: Annotated[float, Field(gt=0)] = 1.0) -> None:
        super().__init__()
        self.beta = beta

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        error, present = difference(prediction, target)
        return _huber(error, self.beta) / self.beta, present


class LogCosh(Criterion):
    """Log-cosh: like Huber's loss with delta 1, without the seam between its two halves."""

    takes: ClassVar[Takes] = "numbers"

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        error, present = difference(prediction, target)
        return _log_cosh(error), present
