"""Mean squared error for regression."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from lamplighter.losses.criterion import Criterion, Takes, difference, mean_of


def mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean of (prediction - target)^2 over the entries whose target is a number.

    The best constant answer is the mean of the targets; one error of 10 costs as much as a hundred errors of 1.

    Args:
        prediction: any shape.
        target: same shape; NaN marks a blank, which neither counts nor sends a gradient. When all are blank the loss
            is NaN and its gradient 0.

    Returns:
        Scalar.

    >>> import torch
    >>> mse(torch.tensor([[1.0, 5.0]]), torch.tensor([[3.0, float("nan")]]))
    tensor(4.)
    """
    error, present = difference(prediction, target)
    return mean_of(error.square(), present)[0]


class MSE(Criterion):
    """Mean squared error (L2): the usual loss for numbers; answers the mean."""

    takes: ClassVar[Takes] = "numbers"

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        error, present = difference(prediction, target)
        return error.square(), present
