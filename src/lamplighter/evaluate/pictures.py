"""Small pictures of raw rows as ``data:`` addresses, so that the report needs no other file."""

from __future__ import annotations

import base64
import io
import os
from typing import Any

import numpy as np
from PIL import Image, ImageOps

SIZE = 96
"""Longest side in pixels; larger pictures are reduced, smaller ones stay as they are and are enlarged by the page."""


def data_uri(raw: Any) -> str:
    """A PNG of one raw row.

    Args:
        raw: array (height, width) or (height, width, channels), 8 bit, 16 bit or float; or a path; or encoded bytes.
            Two channels show the first, more than three the first three. What is not 8 bit is stretched from its own
            minimum to its own maximum.

    Raises:
        ValueError: an array that is no picture.
        OSError: a file that is gone or cannot be decoded.
        Image.DecompressionBombError: a file of absurd size.
    """
    picture = _from_array(raw) if isinstance(raw, np.ndarray) else _from_file(raw)
    picture.thumbnail((SIZE, SIZE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim == 3:
        channels = 3 if array.shape[2] >= 3 else 1
        array = array[:, :, :channels] if channels == 3 else array[:, :, 0]
    if array.ndim != 2 + (array.ndim == 3) or not array.size:
        raise ValueError(f"an array of shape {array.shape} is no picture")
    return Image.fromarray(_to_8_bit(array))


def _to_8_bit(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    values = np.nan_to_num(array.astype(np.float64))
    low, high = values.min(), values.max()
    return np.rint((values - low) * (255 / (high - low) if high > low else 0)).astype(np.uint8)


def _from_file(raw: Any) -> Image.Image:
    source = io.BytesIO(raw) if isinstance(raw, bytes) else os.fspath(raw)
    with Image.open(source) as opened:
        opened.draft("RGB", (SIZE, SIZE))  # lets JPEG decode at a fraction of its size
        picture = ImageOps.exif_transpose(opened)
        if picture.mode.startswith(("I", "F")):
            return Image.fromarray(_to_8_bit(np.asarray(picture)))
        return picture.convert("L" if picture.mode in ("1", "L", "LA") else "RGB")
