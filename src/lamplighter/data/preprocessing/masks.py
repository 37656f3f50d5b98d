"""Masks of classes: from the pixels of a file to class indices, and back to a file. Training and scoring run this code.

Legend: H, W height and width. A class index of -1 marks a pixel that does not count.
"""

from __future__ import annotations

import colorsys
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from lamplighter.core.errors import InputError
from lamplighter.data.preprocessing import reading

Colour = tuple[int, int, int]
_UNKNOWN = -2


@dataclass(frozen=True)
class MaskCoding:
    """Which pixel value or colour stands for which class.

    Attributes:
        values: the value of each class; for masks of colours the colour of each.
        ignore: value or colour of pixels that do not count; None for none.

    >>> coding = MaskCoding(values=(0, 7), ignore=255)
    >>> coding.classes(np.array([[0, 7, 255]], np.uint8)).tolist()
    [[0, 1, -1]]
    """

    values: tuple[int, ...] | tuple[Colour, ...]
    ignore: int | Colour | None = None

    @property
    def colours(self) -> bool:
        """Whether classes are named by colours."""
        return isinstance(self.values[0], tuple)

    def read(self, value: reading.Encoded) -> np.ndarray:
        """Class indices (H, W) int16 of an encoded mask, -1 where a pixel does not count.

        Raises:
            InputError: not a mask, or a pixel that names no class.
        """
        return self.classes(reading.read_mask(value, self.colours))

    def classes(self, pixels: np.ndarray) -> np.ndarray:
        """Class indices (H, W) int16 of a decoded mask."""
        if not self.colours and pixels.ndim == 3:
            raise InputError("is a colour image; give data.palette, the colour of each class")
        known = self.values if self.ignore is None else (*self.values, self.ignore)
        codes = np.array([_code(value) for value in known], np.int64)
        index = np.arange(len(known), dtype=np.int16)
        if self.ignore is not None:
            index[-1] = -1
        packed = _packed(pixels)
        order = np.argsort(codes)
        at = np.searchsorted(codes, packed, sorter=order).clip(max=len(codes) - 1)
        found = order[at]
        classes = np.where(codes[found] == packed, index[found], np.int16(_UNKNOWN))
        if (classes == _UNKNOWN).any():
            row, column = np.argwhere(classes == _UNKNOWN)[0]
            raise InputError(
                f"the pixel at row {row}, column {column} is {_shown(pixels[row, column])}, which is no class; "
                f"known: {', '.join(map(_shown, known))}"
            )
        return classes


def nearest(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """A mask (H, W) at another size; each pixel takes the class at its centre, so that no class is invented.

    >>> nearest(np.array([[0, 1], [2, 3]]), 4, 2).tolist()
    [[0, 1], [0, 1], [2, 3], [2, 3]]
    """
    rows, columns = (
        ((2 * np.arange(to, dtype=np.int64) + 1) * size) // (2 * to) for to, size in zip((height, width), mask.shape)
    )
    return mask[rows[:, None], columns]


def png(mask: np.ndarray, palette: Sequence[Colour] | None = None) -> bytes:
    """A mask (H, W) of class indices as a PNG: 8 bit up to 256 classes, else 16 bit.

    Args:
        mask: integers from 0.
        palette: a colour for each class, for looking at: the file keeps indices and shows colours. At most 256.
    """
    array = mask.astype(np.uint8 if mask.max(initial=0) < 256 else np.uint16)
    picture = Image.fromarray(array)
    if palette is not None and array.dtype == np.uint8:
        picture.putpalette([part for colour in palette[:256] for part in colour])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def jpeg(picture: np.ndarray) -> bytes:
    """A picture (H, W, 3) uint8 for looking at."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def colours(count: int) -> list[Colour]:
    """A bright colour for each class, neighbours far apart; class 0 is black.

    >>> colours(3)
    [(0, 0, 0), (255, 64, 64), (64, 120, 255)]
    """
    return [(0, 0, 0), *map(_colour, range(count - 1))][:count]


def _colour(index: int) -> Colour:
    """Hues a golden ratio of the circle apart."""
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(index * 0.618034 % 1, 0.75, 1.0))
    return red, green, blue


def _code(value: int | Colour) -> int:
    return value if isinstance(value, int) else value[0] << 16 | value[1] << 8 | value[2]


def _packed(pixels: np.ndarray) -> np.ndarray:
    wide = pixels.astype(np.int64)
    return wide if wide.ndim == 2 else wide[:, :, 0] << 16 | wide[:, :, 1] << 8 | wide[:, :, 2]


def _shown(value: int | Colour | np.ndarray) -> str:
    numbers = np.atleast_1d(np.asarray(value)).tolist()
    return str(numbers[0]) if len(numbers) == 1 else f"({', '.join(map(str, numbers))})"


def overlay(image: np.ndarray, mask: np.ndarray, alpha: float = 0.5) -> np.ndarray:
    """An image with the colours of its classes laid over it, and class 0 left as it is.

    Args:
        image: (H, W, C) of 1, 3 or more channels, uint8 or any numbers, which are stretched to 0..255.
        mask: (H, W) class indices; -1 is shown as white.
        alpha: how much of the colour is seen.

    Returns:
        uint8 (H, W, 3).
    """
    picture = _as_rgb(image).astype(np.float32)
    palette = np.array([*colours(max(int(mask.max(initial=0)) + 1, 1)), (255, 255, 255)], np.float32)
    tinted = (1 - alpha) * picture + alpha * palette[mask]
    return np.rint(np.where((mask != 0)[:, :, None], tinted, picture)).astype(np.uint8)


def _as_rgb(image: np.ndarray) -> np.ndarray:
    if image.dtype != np.uint8:
        low, high = float(image.min()), float(image.max())
        image = np.rint((image - low) * (255 / (high - low) if high > low else 0)).astype(np.uint8)
    return image[:, :, :3] if image.shape[2] >= 3 else np.repeat(image[:, :, :1], 3, axis=2)
