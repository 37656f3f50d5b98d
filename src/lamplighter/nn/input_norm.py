"""The first layer of every exported network: raw numbers to standardised float32."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class InputNorm(nn.Module):
    """(x - mean) / std per channel or feature, computed in float32.

    Being part of the network, it is exported with it, so training and serving cannot scale differently. Mean and
    standard deviation come from the training split; they are buffers, saved with the weights and never trained.

    Args:
        mean: one number for each channel (images) or feature (vectors), or a single one for all.
        std: likewise; where it is 0 (a channel that never varies) 1 is used, so that nothing is divided by zero.

    Shapes:
        (N, C, ...) of any number type -> (N, C, ...) floating point

    >>> InputNorm([100.0], [50.0])(torch.tensor([[[[0, 200]]]], dtype=torch.uint8))
    tensor([[[[-2.,  2.]]]])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32).reshape(-1))
        deviation = torch.as_tensor(std, dtype=torch.float32).reshape(-1)
        self.register_buffer("std", torch.where(deviation == 0, 1.0, deviation))

    def forward(self, x: Tensor) -> Tensor:
        shape = (-1,) + (1,) * (x.dim() - 2)
        return (x.to(self.mean.dtype) - self.mean.view(shape)) / self.std.view(shape)
