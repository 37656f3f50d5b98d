"""What all image augmentations share: images, and masks that must move with them."""

from __future__ import annotations

from torch import Tensor

from lamplighter.core.errors import DataError
from lamplighter.data.source import Batch


def images_of(batch: Batch, name: str) -> Tensor:
    """The batch's images.

    Raises:
        DataError: ``x`` is missing or not (rows, channels, height, width).
    """
    x = batch.get("x")
    if x is None or x.dim() != 4:
        given = "has no 'x'" if x is None else f"has 'x' of shape {tuple(x.shape)}"
        raise DataError(f"augment '{name}' works on images (rows, channels, height, width), but this data {given}")
    return x


def moved(batch: Batch, x: Tensor, mask: Tensor | None) -> Batch:
    """The batch with other images and, where it has a mask, that one moved alike."""
    return {**batch, "x": x} if mask is None else {**batch, "x": x, "y": mask[:, 0]}


def mask_of(batch: Batch, x: Tensor) -> Tensor | None:
    """Targets that give each pixel a class, as one more image (rows, 1, height, width); None for other targets."""
    y = batch.get("y")
    if y is None or y.dim() != 3 or y.is_floating_point() or y.shape != (x.shape[0], *x.shape[2:]):
        return None
    return y[:, None]
