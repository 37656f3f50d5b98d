"""What all image augmentations share."""

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
