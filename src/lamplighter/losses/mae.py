"""Mean absolute error for regression with outliers."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from lamplighter.losses.criterion import Criterion, Takes, difference, mean_of


def mae(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean of |prediction - target| over the entries whose target is a number.

    The best constant answer is the median of the targets, which a few wild ones do not move. The gradient has the
    same size far and near, so the last steps towards the optimum need a small learning rate; `huber` does not.

    Args:
        prediction: any shape.
        target: same shape; NaN marks a blank. When all are blank the loss is NaN and its gradient 0.

    Returns:
        Scalar.

    >>> import torch
    >>> mae(torch.tensor([2.5, 0.0, 2.0]), torch.tensor([3.0, -0.5, 2.0]))
    tensor(0.3333)
    """
    error, present = difference(prediction, target)
    return mean_of(error.abs(), present)[0]


class MAE(Criterion):
    """Mean absolute error (L1): outliers count in proportion, not squared; answers the median."""

    takes: ClassVar[Takes] = "numbers"

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        error, present = difference(prediction, target)
        return error.abs(), present
