"""Reads image files with Pillow, whole or not at all, at their own bit depth."""

from __future__ import annotations

import base64
import binascii
import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image, ImageOps

from lamplighter.core.errors import InputError, NotAnImageError
from lamplighter.data.preprocessing import tiff

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF")
SUFFIXES = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp", ".bmp", ".gif"},
)
"""Endings of image files in a folder, in lower case: all that Pillow knows for `FORMATS`."""
MAX_PIXELS = 2**30 // 12
"""Pixels of one image at most (about 9,450 x 9,450, where Pillow warns): a small file can claim billions of them."""

Encoded = bytes | bytearray | memoryview | str | Path
_Result = TypeVar("_Result")
# what Pillow's decoders raise on broken files
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    EOFError,
    AssertionError,
    NotImplementedError,
    struct.error,
    zlib.error,
    Warning,
)


@dataclass(frozen=True)
class Layout:
    """What the head of an image file says.

    Attributes:
        height: pixels, EXIF orientation applied.
        width: pixels.
        channels: of the file; transparency counts.
        bits: 8 or 16.
    """

    height: int
    width: int
    channels: int
    bits: int


def read(value: Encoded, channels: int | None = None) -> np.ndarray:
    """Decode an image at its own depth.

    Args:
        value: encoded bytes, or the path of a local file.
        channels: a TIFF of just as many one-channel pages becomes one image of that many channels.

    Returns:
        uint8 or uint16, (height, width, channels): gray, gray and alpha, RGB, RGBA, or the samples of a TIFF.

    Raises:
        NotAnImageError: not an image, broken, or cut short.
        InputError: no such file, or too many pixels.
    """
    return _guarded(value, lambda image, content: _decode(image, content, channels))


def read_mask(value: Encoded, colours: bool = False) -> np.ndarray:
    """Decode an image whose pixels name classes. Indices into a palette stay indices; transparency is left out.

    Args:
        value: encoded bytes, or the path of a local file.
        colours: the classes are named by colours: palettes are looked up, gray g becomes (g, g, g).

    Returns:
        Integers (height, width); or uint8 (height, width, 3) of a colour image that is not gray all over, and always
        with ``colours``.

    Raises:
        NotAnImageError: not an image, broken, or cut short.
        InputError: no such file, too many pixels, or pixels that are no whole numbers.
    """
    return _guarded(value, lambda image, content: _mask(image, content, colours))


def probe(value: Encoded) -> Layout:
    """Size, channels and depth from the head of an image; pixels are not decoded.

    Raises:
        NotAnImageError: not an image.
        InputError: no such file, or too many pixels.
    """
    return _guarded(value, _layout)


def from_client(value: Any) -> Any:
    """What a client may send as an image, made ready for `DecodeImage`; the only door a server should use.

    Text is base64 (a ``data:`` URL is accepted too), never a path: no client shall read files of the server.

    Args:
        value: bytes, base64 text, or nested lists of numbers.

    Raises:
        InputError: text that is not base64, or any other type: the field is wrong, whatever image was meant.
    """
    if isinstance(value, str):
        head, comma, body = value.partition(",")
        text = body if comma and head.startswith("data:") else value
        try:
            return base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            raise InputError("the text is not base64; send the encoded bytes of the image as base64") from None
    if isinstance(value, (bytes, bytearray, memoryview, list)):
        return value
    raise InputError(f"{type(value).__name__} is no image; send base64 text or nested lists of numbers")


def _guarded(value: Encoded, work: Callable[[Image.Image | None, bytes], _Result]) -> _Result:
    """Open ``value`` and do ``work`` on it; ``None`` for the image means a TIFF that `tiff` reads instead of Pillow."""
    content = _content(value)
    try:
        if tiff.is_ours(content):
            return work(None, content)
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_pixels(image.width, image.height)
            return work(image, content)
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"{error}; make the image smaller") from None
    except Image.UnidentifiedImageError:
        raise NotAnImageError(_unidentified(content)) from None
    except _BROKEN as error:
        raise NotAnImageError(f"the image is damaged: {error or type(error).__name__}") from None


def _content(value: Encoded) -> bytes:
    if not isinstance(value, (str, Path)):
        return bytes(value)
    try:
        return Path(value).read_bytes()
    except FileNotFoundError:
        raise InputError("no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}") from None


def _unidentified(content: bytes) -> str:
    if not content:
        return "no bytes: the file is empty"
    return f"not an image that can be read; known: {', '.join(FORMATS)}"


def _check_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise InputError(f"{width} x {height} pixels are more than the {MAX_PIXELS} allowed; make the image smaller")


def _decode(image: Image.Image | None, content: bytes, channels: int | None) -> np.ndarray:
    if image is None:
        layout = tiff.layout(content)
        _check_pixels(layout.width, layout.height)
        return tiff.read(content, channels)
    pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
    if channels is not None and 1 < channels == pages and _samples(image) == 1:
        return _pages(image, pages)
    if _png_rawmode(image) in _LOW_BYTES:
        return _png_16(image, content)
    return _array(image)


def _mask(image: Image.Image | None, content: bytes, colours: bool) -> np.ndarray:
    if image is not None and image.mode == "P" and not colours:
        return np.asarray(_turned(image))
    if image is not None and image.mode == "1":
        plane = np.asarray(_turned(image)).astype(np.uint8)
        return np.repeat(plane[:, :, None], 3, axis=2) if colours else plane
    if image is not None and image.mode in ("P", "PA"):
        return np.asarray(_turned(image).convert("RGB"))
    array = _decode(image, content, None)
    if array.shape[2] not in (1, 2, 3, 4):
        raise InputError(f"has {array.shape[2]} channels; a mask has one, or is a colour image")
    plane = array[:, :, 0]
    if array.shape[2] <= 2:
        return np.repeat(plane[:, :, None], 3, axis=2) if colours else plane
    array = array[:, :, :3]
    return plane if not colours and bool((array == array[:, :, :1]).all()) else array


def _layout(image: Image.Image | None, content: bytes) -> Layout:
    if image is None:
        layout = tiff.layout(content)
        _check_pixels(layout.width, layout.height)
        return Layout(layout.height, layout.width, layout.samples, layout.bits)
    rawmode = _png_rawmode(image)  # first: looking for EXIF can make Pillow decode, and forget it
    height, width = image.height, image.width
    if _is_turned(image):
        height, width = width, height
    if rawmode in _LOW_BYTES:
        return Layout(height, width, 2 if rawmode == "LA;16B" else len(image.mode), 16)
    return Layout(height, width, _samples(image), 16 if image.mode.startswith("I") else 8)


def _is_turned(image: Image.Image) -> bool:
    """Whether EXIF swaps height and width, and Pillow has not done it yet."""
    if image.format == "TIFF":
        return False
    if image.format == "PNG" and not {"exif", "Raw profile type exif", "XML:com.adobe.xmp"} & set(image.info):
        return False  # asking would make Pillow decode all pixels
    return image.getexif().get(0x0112) in (5, 6, 7, 8)


def _samples(image: Image.Image) -> int:
    gray = image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")
    transparent = image.has_transparency_data and not image.mode.startswith("I")
    return (1 if gray else 3) + int(transparent)


def _array(image: Image.Image) -> np.ndarray:
    image.load()
    if image.mode.startswith("I"):
        return _wide(np.asarray(ImageOps.exif_transpose(image)))[:, :, None]
    if image.mode == "F":
        raise InputError("floating point pixels; 8 and 16 bit images are taken, or an array of numbers")
    wanted = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[_samples(image)]
    if wanted == "LA" and image.mode in ("1", "L"):  # gray with one transparent value: Pillow has no direct way
        return np.asarray(ImageOps.exif_transpose(image.convert("RGBA")))[:, :, 2:].copy()
    if image.mode == "La":
        image = image.convert("LA")
    turned = ImageOps.exif_transpose(image)
    array = np.asarray(turned if turned.mode == wanted else turned.convert(wanted))
    return array if array.ndim == 3 else array[:, :, None]


def _wide(array: np.ndarray) -> np.ndarray:
    if array.min() < 0 or array.max() > 65535:
        raise InputError(f"pixel values from {array.min()} to {array.max()}; 8 and 16 bit images (0..65535) are taken")
    return array.astype(np.uint16)


def _pages(image: Image.Image, pages: int) -> np.ndarray:
    arrays = []
    for page in range(pages):
        image.seek(page)
        _check_pixels(image.width, image.height)
        arrays.append(_array(image.copy()))
    if len({(array.shape, array.dtype) for array in arrays}) > 1:
        raise InputError(f"the {pages} pages of the file differ in size or depth; one image has equal channels")
    return np.concatenate(arrays, axis=2)


# Pillow keeps the high bytes only of PNGs with 16 bit colour. Asked to unpack the same bytes in the other byte order
# it gives the low ones; gray with alpha, four bytes a pixel, it can hand over untouched.
_LOW_BYTES = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L", "LA;16B": "RGBA"}


def _png_rawmode(image: Image.Image) -> str:
    tile: Any = getattr(image, "tile", None) if image.format == "PNG" else None
    arguments = tile[0][3] if tile else None
    return arguments if isinstance(arguments, str) else ""


def _png_16(image: Image.Image, content: bytes) -> np.ndarray:
    rawmode = _png_rawmode(image)
    with Image.open(io.BytesIO(content), formats=("PNG",)) as again:
        parts: Any = again
        parts.tile = [(*parts.tile[0][:3], _LOW_BYTES[rawmode])]
        low = np.asarray(_turned(again))
    if rawmode == "LA;16B":
        bytes_ = low.astype(np.uint16)
        return bytes_[:, :, 0::2] << 8 | bytes_[:, :, 1::2]
    high = np.asarray(_turned(image))
    return high.astype(np.uint16) << 8 | low


def _turned(image: Image.Image) -> Image.Image:
    image.load()
    return ImageOps.exif_transpose(image)
