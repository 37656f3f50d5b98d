"""Mean squared error for regression."""

from __future__ import annotations

import torch
from torch import Tensor


def mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean of (prediction - target)^2 over the entries whose target is a number.

    Args:
        prediction: any shape.
        target: same shape; NaN marks a blank, which neither counts nor sends a gradient. When all are blank the loss
            is 0.

    Returns:
        Scalar.

    >>> mse(torch.tensor([[1.0, 5.0]]), torch.tensor([[3.0, float("nan")]]))
    tensor(4.)
    """
    present = ~torch.isnan(target)
    # The blank is taken out before the subtraction: NaN * 0 in the backward pass would still be NaN.
    difference = prediction - torch.where(present, target, prediction.detach())
    return difference.square().sum() / present.sum().clamp(min=1)
