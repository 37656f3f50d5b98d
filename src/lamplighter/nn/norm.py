"""Normalisations written out as their formulas, and by name as the modules that networks use.

The functions are for reading and for proofs: each equals torch's kernel in float64 to 1e-12, forward and backward. The
modules are torch's own. Legend: N rows, C channels, D numbers of one row; variances are biased (divided by n).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

NormName = Literal["none", "batch", "layer", "rms"]


def norm(name: NormName, width: int) -> nn.Module:
    """A normalisation of ``width`` units of a fully connected layer.

    ``none`` does nothing; ``batch`` uses each unit's mean and deviation over the rows (in training) or the running ones
    (at inference); ``layer`` uses each row's over its units; ``rms`` only divides by each row's root mean square.

    >>> norm("rms", 8)
    RMSNorm((8,), eps=1e-05, elementwise_affine=True)
    """
    if name == "none":
        return nn.Identity()
    if name == "batch":
        return nn.BatchNorm1d(width)
    # torch's default eps of RMSNorm is that of the number type, 1.2e-7; 1e-5 as in LayerNorm also holds in 16 bits.
    return nn.LayerNorm(width) if name == "layer" else nn.RMSNorm(width, eps=1e-5)


def batch_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias for each channel, over rows and positions (Ioffe and Szegedy 2015).

    In training, mean and variance are the batch's, and the running ones move towards them by ``momentum``, in place:
    the running variance towards the *unbiased* one (divided by n - 1), though the normalisation uses the biased one.
    At inference the running ones are used, so a row does not depend on its batch.

    Shapes:
        x (N, C, ...), all others (C,) -> (N, C, ...)

    Raises:
        ValueError: one value for each channel in training: its deviation is 0, and the result would be ``bias``.
    """
    over = [0, *range(2, x.dim())]
    if not training:
        return _standardised(x, running_mean, running_var, eps) * _channels(weight, x) + _channels(bias, x)
    n = x.numel() // x.shape[1]
    if n <= 1:
        raise ValueError(
            f"batch norm in training needs more than one value for each channel, got shape {tuple(x.shape)}: use "
            "larger batches, leave out the last incomplete one (drop_last), or choose group or layer norm"
        )
    mean, var = x.mean(over), x.var(over, unbiased=False)
    with torch.no_grad():
        running_mean.lerp_(mean, momentum)
        running_var.lerp_(var * n / (n - 1), momentum)
    return _standardised(x, mean, var, eps) * _channels(weight, x) + _channels(bias, x)


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias, over the last dimension of each row (Ba et al. 2016).

    Shapes:
        x (..., D), weight and bias (D,) -> (..., D)
    """
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + eps) * weight + bias


def group_norm(x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """Each row's channels in ``groups`` groups; mean and variance over a group and all positions (Wu and He 2018).

    The batch plays no part, so it works with batches of any size.

    Shapes:
        x (N, C, ...), weight and bias (C,) -> (N, C, ...)

    Raises:
        ValueError: the channels are no multiple of ``groups``.
    """
    if x.shape[1] % groups:
        raise ValueError(f"group norm: {x.shape[1]} channels cannot be shared out to {groups} groups")
    grouped = x.reshape(x.shape[0], groups, -1)
    centred = grouped - grouped.mean(-1, keepdim=True)
    normed = centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + eps)
    return normed.reshape(x.shape) * _channels(weight, x) + _channels(bias, x)


def instance_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """`group_norm` with each channel a group of its own: statistics over the positions of one image (Ulyanov et al.
    2016).

    Shapes:
        x (N, C, ...) with more than one position, weight and bias (C,) -> (N, C, ...)
    """
    if math.prod(x.shape[2:]) <= 1:
        raise ValueError(f"instance norm needs more than one position in each channel, got shape {tuple(x.shape)}")
    return group_norm(x, x.shape[1], weight, bias, eps)


def rms_norm(x: Tensor, weight: Tensor, eps: float = 1e-5) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimension: layer norm that does not centre (Zhang and Sennrich
    2019).

    Shapes:
        x (..., D), weight (D,) -> (..., D)

    >>> rms_norm(torch.tensor([3.0, 4.0]), torch.ones(2))
    tensor([0.8485, 1.1314])
    """
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight


def _standardised(x: Tensor, mean: Tensor, var: Tensor, eps: float) -> Tensor:
    return (x - _channels(mean, x)) / torch.sqrt(_channels(var, x) + eps)


def _channels(vector: Tensor, x: Tensor) -> Tensor:
    """(C,) to (1, C, 1, ...), so that it broadcasts over x (N, C, ...)."""
    shape: Sequence[int] = (1, -1, *[1] * (x.dim() - 2))
    return vector.view(shape)
