"""The last preprocessing step for images that are answered pixel by pixel: one tensor, and what size each image had."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from lamplighter.core.errors import LamplighterError
from lamplighter.data.preprocessing.image import Resize, StackImages


class FitImages:
    """Makes one tensor of images, and remembers their sizes, since the answer is given at the size that was sent.

    With ``height`` and ``width`` every image is resized. Without, images keep their size, and smaller ones of a batch
    are filled up with zeros at the bottom and on the right.

    Args:
        height: pixels; null together with width: as they come.
        width: pixels.
        mode: how values between pixels are computed when resizing.

    Attributes:
        keeps_sizes: whether images reach the network at their own size, filled up to the largest of the batch.

    Returns:
        ``x`` (rows, channels, height, width), and ``original_size`` (rows, 2) int64, (height, width) of each.

    >>> fitted = FitImages()([np.ones((1, 2, 1), np.uint8), np.ones((2, 1, 1), np.uint8)])
    >>> fitted["x"][:, 0].tolist(), fitted["original_size"].tolist()
    ([[[1, 1], [0, 0]], [[1, 0], [1, 0]]], [[1, 2], [2, 1]])
    """

    def __init__(
        self,
        height: Annotated[int, Field(ge=1)] | None = None,
        width: Annotated[int, Field(ge=1)] | None = None,
        mode: Literal["nearest", "box", "bilinear", "bicubic", "lanczos"] = "bilinear",
    ) -> None:
        if (height is None) != (width is None):
            raise LamplighterError("fit-images: give both height and width, or neither of them")
        self.resize = None if height is None or width is None else Resize(height, width, mode)
        self.keeps_sizes = self.resize is None

    def __call__(self, images: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        sizes = np.array([image.shape[:2] for image in images], np.int64).reshape(-1, 2)
        fitted = self.resize(images) if self.resize else padded(images)
        return {**StackImages()(fitted), "original_size": sizes}


def padded(arrays: Sequence[np.ndarray], fill: int = 0) -> list[np.ndarray]:
    """Arrays (height, width, ...), each filled up at the bottom and on the right to the largest height and width."""
    height = max((array.shape[0] for array in arrays), default=0)
    width = max((array.shape[1] for array in arrays), default=0)
    return [_filled(array, height, width, fill) for array in arrays]


def _filled(array: np.ndarray, height: int, width: int, fill: int) -> np.ndarray:
    if array.shape[:2] == (height, width):
        return array
    whole = np.full((height, width, *array.shape[2:]), fill, array.dtype)
    whole[: array.shape[0], : array.shape[1]] = array
    return whole
