"""What an image model checks at its door."""

from __future__ import annotations

from torch import Tensor, nn

from lamplighter.core.errors import LamplighterError


def image_input(x: Tensor, first: nn.Conv2d, model: str) -> Tensor:
    """The images in the number type of the weights.

    Args:
        x: what the model was called with.
        first: the convolution that meets it.
        model: name for the message.

    Raises:
        LamplighterError: not (N, C, H, W), or another number of channels than ``in_channels``.

    >>> import torch
    >>> image_input(torch.zeros(1, 4, 8, 8), nn.Conv2d(3, 8, 3), "ResNet")
    Traceback (most recent call last):
    lamplighter.core.errors.LamplighterError: ResNet: the images have 4 channels, the model was built with in_channels=3
    """
    if x.dim() != 4:
        raise LamplighterError(f"{model}: expects images (N, C, H, W), not a tensor of shape {tuple(x.shape)}")
    if x.shape[1] != first.in_channels:
        raise LamplighterError(
            f"{model}: the images have {x.shape[1]} channels, the model was built with in_channels={first.in_channels}"
        )
    return x.to(first.weight.dtype)
