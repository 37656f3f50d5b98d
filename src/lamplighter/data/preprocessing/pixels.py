"""Pixel arithmetic on arrays (height, width, channels): ranges, gray, alpha, bit depth. Exact integers throughout."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from lamplighter.core.errors import InputError

MAXIMUM: dict[int, int] = {8: 255, 16: 65535}
_SHAPES = "an image is (height, width) or (height, width, channels)"


def as_image(value: Any, bits: Literal[8, 16]) -> np.ndarray:
    """An array or nested list of numbers as (height, width, channels): uint8, uint16, or float32 for 16 bit models.

    Args:
        value: uint8 and uint16 arrays carry their range; other numbers count in the range of ``bits``.
        bits: range of the model.

    Raises:
        InputError: not numbers, not a rectangle, empty, or out of range.
    """
    if not isinstance(value, (list, tuple, np.ndarray)):
        raise InputError(f"{type(value).__name__} is no image; send an encoded image or an array of numbers")
    try:
        array = np.asarray(value)
    except ValueError:
        raise InputError(f"rows of different length; {_SHAPES}") from None
    if array.dtype.kind not in "uif":
        raise InputError(f"values of type {array.dtype} are no pixels; {_SHAPES} of numbers")
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or 0 in array.shape:
        raise InputError(f"shape {array.shape} does not fit; {_SHAPES}")
    return array if array.dtype in (np.uint8, np.uint16) else _in_range(array, bits)


def convert(image: np.ndarray, channels: int, bits: Literal[8, 16]) -> np.ndarray:
    """Bring an image to the model's channels and bit depth.

    Args:
        image: uint8, uint16 or float32 (0..65535), (height, width, channels).
        channels: wanted.
        bits: wanted.

    Returns:
        uint8 or, for 16 bits, float32; contiguous.
    """
    image = _with_channels(image, channels)
    if bits == 8:
        if image.dtype == np.uint16:
            image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
        return np.ascontiguousarray(image)
    if image.dtype == np.uint8:
        image = image.astype(np.uint16) * 257
    return np.ascontiguousarray(image, dtype=np.float32)


def _in_range(array: np.ndarray, bits: Literal[8, 16]) -> np.ndarray:
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= MAXIMUM[bits]):  # NaN fails this too
        raise InputError(f"values from {low:g} to {high:g}; this model takes 0..{MAXIMUM[bits]}")
    if bits == 16:
        return array.astype(np.float32)
    whole = array.astype(np.uint8)
    if not np.array_equal(whole, array):
        raise InputError(
            "values with fractions; this model takes whole numbers 0..255 (multiply by 255 if yours are 0..1)"
        )
    return whole


def _with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    present = image.shape[2]
    if present == channels:
        return image
    if present > 4 or channels > 4:
        raise InputError(f"has {present} channels, this model takes {channels}; {_SHAPES}")
    if present in (2, 4) and channels in (1, 3):
        image = _on_white(image)
    colour = image[:, :, : 1 if image.shape[2] <= 2 else 3]
    if colour.shape[2] == 3 and channels <= 2:
        colour = _gray(colour)
    elif colour.shape[2] == 1 and channels >= 3:
        colour = np.repeat(colour, 3, axis=2)
    if channels in (1, 3):
        return colour
    return np.concatenate([colour, _alpha(image)], axis=2)


def _alpha(image: np.ndarray) -> np.ndarray:
    if image.shape[2] in (2, 4):
        return image[:, :, -1:]
    return np.full((*image.shape[:2], 1), 255 if image.dtype == np.uint8 else 65535, image.dtype)


def _on_white(image: np.ndarray) -> np.ndarray:
    if image.dtype == np.float32:
        alpha = image[:, :, -1:] / 65535
        return (image[:, :, :-1] * alpha + 65535 * (1 - alpha)).astype(np.float32)
    top = int(np.iinfo(image.dtype).max)
    wide = image.astype(np.uint32)
    # at most 65535 * 65535 + 32767 < 2**32
    mixed = wide[:, :, :-1] * wide[:, :, -1:] + top * (top - wide[:, :, -1:]) + top // 2
    return (mixed // top).astype(image.dtype)


def _gray(image: np.ndarray) -> np.ndarray:
    """ITU-R BT.601 luma, 0.299 R + 0.587 G + 0.114 B, in the 16 bit fixed point that Pillow uses."""
    if image.dtype == np.float32:
        return image @ np.array([[0.299], [0.587], [0.114]], dtype=np.float32)
    wide = image.astype(np.uint32)
    luma = (wide[:, :, 0] * 19595 + wide[:, :, 1] * 38470 + wide[:, :, 2] * 7471 + 32768) >> 16
    return luma.astype(image.dtype)[:, :, None]
