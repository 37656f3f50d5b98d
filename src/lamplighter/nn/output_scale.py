"""The last layer of a regression network: standardised numbers back to the target's own units."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class OutputScale(nn.Module):
    """z * std + mean per target; `standardise` is its inverse.

    A network learns best when its targets have mean 0 and variance 1, whatever their unit. Mean and standard
    deviation of the training targets are buffers, so the exported network answers in units.

    Args:
        mean: one number for each target.
        std: likewise; 0 (a target that never varies) counts as 1.

    Shapes:
        (N, targets) -> (N, targets)

    >>> scale = OutputScale([200.0], [50.0])
    >>> scale(torch.tensor([[1.0]])), scale.standardise(torch.tensor([[250.0]]))
    (tensor([[250.]]), tensor([[1.]]))
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32).reshape(-1))
        deviation = torch.as_tensor(std, dtype=torch.float32).reshape(-1)
        self.register_buffer("std", torch.where(deviation == 0, 1.0, deviation))

    def forward(self, z: Tensor) -> Tensor:
        return z.to(self.mean.dtype) * self.std + self.mean

    def standardise(self, y: Tensor) -> Tensor:
        """(y - mean) / std; NaN (a blank) stays NaN."""
        return (y.to(self.mean.dtype) - self.mean) / self.std
