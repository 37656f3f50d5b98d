"""Preprocessing steps for images: decode, resize, stack. Training and serving run this very code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image
from pydantic import Field

from lamplighter.core.errors import InputError
from lamplighter.data.preprocessing import pixels, reading

_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class DecodeImage:
    """Makes arrays (height, width, channels) of whatever an image may come as.

    A row is encoded bytes (PNG, JPEG, TIFF, WebP, BMP, GIF), a path of a local file, an array or nested list of
    numbers (height, width) or (height, width, channels), or a dict that holds one of these under ``field``. EXIF
    orientation is applied; of an animation the first frame is taken; a TIFF of several pages with one channel each
    gives one channel per page. Colour becomes gray by ITU-R BT.601 luma; transparency is composed on white unless the
    model takes an alpha channel (2 or 4 channels); 8 bit values times 257 are the 16 bit ones.

    Integer arrays of another type than uint8 and uint16, floats and nested lists are taken in the model's own range.

    Args:
        channels: 1 gray, 2 gray and alpha, 3 RGB, 4 RGBA; other numbers must be what the images have.
        bits: 8 gives uint8 values 0..255, 16 gives float32 values 0..65535.
        field: key of the image in rows that are dicts.

    Raises:
        NotAnImageError: bytes or a file that cannot be decoded whole; names row, field and file.
        InputError: a missing file or field, an array of wrong shape or range, or too many pixels.

    >>> DecodeImage(channels=1)([np.array([[0, 255]])])[0].tolist()
    [[[0], [255]]]
    >>> DecodeImage(channels=3)([{"image": [[7]]}])[0].tolist()
    [[[7, 7, 7]]]
    """

    def __init__(
        self, channels: Annotated[int, Field(ge=1)] = 3, bits: Literal[8, 16] = 8, field: str = "image"
    ) -> None:
        self.channels = channels
        self.bits: Literal[8, 16] = bits
        self.field = field

    def __call__(self, rows: Sequence[Any]) -> list[np.ndarray]:
        return [self._decode(row, index) for index, row in enumerate(rows)]

    def _decode(self, row: Any, index: int) -> np.ndarray:
        value = row
        try:
            value = _field(row, self.field)
            if isinstance(value, (bytes, bytearray, memoryview, str, Path)):
                image = reading.read(value, self.channels)
            else:
                image = pixels.as_image(value, self.bits)
            return pixels.convert(image, self.channels, self.bits)
        except InputError as error:
            where = f"{str(value)[:200]}: " if isinstance(value, (str, Path)) else ""
            raise type(error)(f"{where}{error.reason}", row=index, field=self.field) from error


class Resize:
    """Brings every image to one height and width; the shape is stretched where the proportions differ.

    Pillow's resampling, which smooths when it shrinks. An image that has the size already passes through bit for bit.

    Args:
        height: pixels.
        width: pixels.
        mode: how values between pixels are computed.

    >>> Resize(1, 2)([np.full((4, 4, 3), 9, np.uint8)])[0].shape
    (1, 2, 3)
    """

    def __init__(
        self,
        height: Annotated[int, Field(ge=1)],
        width: Annotated[int, Field(ge=1)],
        mode: Literal["nearest", "box", "bilinear", "bicubic", "lanczos"] = "bilinear",
    ) -> None:
        self.height = height
        self.width = width
        self.mode = mode

    def __call__(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [self._resize(image) for image in images]

    def _resize(self, image: np.ndarray) -> np.ndarray:
        if image.shape[:2] == (self.height, self.width):
            return image
        if image.dtype == np.uint8 and image.shape[2] == 3:
            return self._plane(image)
        # one channel at a time: Pillow would weight colours by alpha, and knows no image of 5 channels
        planes = [self._plane(np.ascontiguousarray(image[:, :, c])) for c in range(image.shape[2])]
        return np.stack(planes, axis=2)

    def _plane(self, plane: np.ndarray) -> np.ndarray:
        resized = np.asarray(Image.fromarray(plane).resize((self.width, self.height), _RESAMPLING[self.mode]))
        return resized if plane.dtype == np.uint8 else resized.clip(0, pixels.MAXIMUM[16])


class StackImages:
    """Makes one tensor ``x`` (rows, channels, height, width) of images that all have one shape.

    >>> StackImages()([np.zeros((2, 3, 1), np.uint8)])["x"].shape
    (1, 1, 2, 3)
    """

    def __call__(self, images: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        if not images:
            raise InputError("no rows: give at least one image")
        for index, image in enumerate(images):
            if image.shape != images[0].shape or image.dtype != images[0].dtype:
                raise InputError(
                    f"image of {_words(image)}, but row 0 has {_words(images[0])}; all rows need one shape",
                    row=index,
                    field="image",
                )
        return {"x": np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2))}


def _field(row: Any, field: str) -> Any:
    if not isinstance(row, dict):
        return row
    if row.get(field) is None:
        present = ", ".join(f"'{key}'" for key in row) or "no fields"
        raise InputError(f"is missing; the row has {present}")
    return row[field]


def _words(image: np.ndarray) -> str:
    height, width, channels = image.shape
    return f"{height} x {width} pixels and {channels} channels ({image.dtype})"
