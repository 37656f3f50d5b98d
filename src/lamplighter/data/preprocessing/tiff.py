"""TIFF files that Pillow cannot hold: any number of channels, 8 or 16 bit (TIFF 6.0, Adobe 1992).

Pillow still does the unpacking: each strip or tile is handed to it wrapped as a gray image of plain bytes.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin, TiffTags

from lamplighter.core.errors import InputError, NotAnImageError

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_SIZES, _PLANAR = 273, 277, 278, 279, 284
_PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_SIZES, _FORMAT = 317, 322, 323, 324, 325, 339
_ORIENTATION, _EXTRA, _ALPHA = 274, 338, 2
_COMPRESSIONS = (1, 5, 8, 32773, 32946, 34925, 50000)  # none, LZW, deflate, PackBits, deflate, LZMA, Zstandard
_MAGIC = (b"II*\0", b"MM\0*", b"II+\0")
_BIG_ENDIAN_BIGTIFF = b"MM\0+"


@dataclass(frozen=True)
class Layout:
    """Height and width (orientation applied), samples of a pixel, bits of a sample."""

    height: int
    width: int
    samples: int
    bits: int


def is_ours(content: bytes) -> bool:
    """Whether these bytes are a TIFF that Pillow would refuse, or cut to three channels or 8 bits."""
    if content[:4] == _BIG_ENDIAN_BIGTIFF:
        raise InputError("a BigTIFF in big-endian order, which Pillow misreads; save it in little-endian order")
    if content[:4] not in _MAGIC:
        return False
    tags = _tags(content)
    samples = _one(tags, _SAMPLES, 1)
    bits = {int(b) for b in _many(tags, _BITS, (1,))}
    if samples < 2 or bits not in ({8}, {16}) or set(_many(tags, _FORMAT, (1,))) != {1}:
        return False
    if _one(tags, _PHOTOMETRIC, 1) not in (1, 2) or _one(tags, _COMPRESSION, 1) not in _COMPRESSIONS:
        return False
    premultiplied = 1 in _many(tags, _EXTRA, ())
    return not premultiplied and (bits == {16} or samples > 4 or not _is_colour(tags))


def layout(content: bytes) -> Layout:
    """What the tags of a TIFF say."""
    tags = _tags(content)
    height, width = _one(tags, _HEIGHT), _one(tags, _WIDTH)
    if _one(tags, _ORIENTATION, 1) in (5, 6, 7, 8):
        height, width = width, height
    samples = _one(tags, _SAMPLES, 1)
    if min(height, width) < 1 or samples > 4096:
        raise NotAnImageError(f"the image is damaged: {height} x {width} pixels of {samples} channels")
    return Layout(height, width, samples, int(_many(tags, _BITS, (1,))[0]))


def read(content: bytes, channels: int | None = None) -> np.ndarray:
    """Pixels of the first page.

    Args:
        content: the file.
        channels: wanted. Samples beyond red, green and blue that the file says nothing about are left out unless
            just this number is wanted.

    Returns:
        uint8 or uint16, (height, width, samples).

    Raises:
        NotAnImageError: strips or tiles missing or cut short.
        InputError: the file does not say what its channels mean, and another number of them is wanted.
    """
    tags = _tags(content)
    image = _pixels(content, tags)
    samples = image.shape[2]
    if channels in (None, samples) or _is_colour(tags):
        return image
    if _one(tags, _PHOTOMETRIC, 1) == 2:
        return image[:, :, :3]
    raise InputError(f"has {samples} channels of no stated meaning, this model takes {channels}")


def _is_colour(tags: Any) -> bool:
    """Gray or RGB, alone or with one alpha channel."""
    photometric = _one(tags, _PHOTOMETRIC, 1)
    extra = _one(tags, _SAMPLES, 1) - (3 if photometric == 2 else 1)
    stated = _many(tags, _EXTRA, (_ALPHA,) if photometric == 2 else ())
    return extra == 0 or (extra == 1 and len(stated) == 1 and stated[0] in (_ALPHA, 999))


def _pixels(content: bytes, tags: Any) -> np.ndarray:
    height, width, samples = _one(tags, _HEIGHT), _one(tags, _WIDTH), _one(tags, _SAMPLES, 1)
    bits = int(_many(tags, _BITS, (1,))[0])
    dtype = np.dtype("u1" if bits == 8 else "<u2" if content[:2] == b"II" else ">u2")
    if height * width * samples * dtype.itemsize > 2**31:
        raise InputError(f"{height} x {width} pixels of {samples} channels are too many; make the image smaller")
    planes = samples if _one(tags, _PLANAR, 1) == 2 else 1
    tiled = _TILE_OFFSETS in tags
    block_height = _one(tags, _TILE_HEIGHT) if tiled else min(_one(tags, _ROWS_PER_STRIP, height), height)
    block_width = _one(tags, _TILE_WIDTH) if tiled else width
    depth = samples // planes
    if min(block_height, block_width) < 1 or block_height * block_width * depth * dtype.itemsize > 2**31:
        raise NotAnImageError(f"the image is damaged: blocks of {block_height} x {block_width} pixels")
    offsets = _many(tags, _TILE_OFFSETS if tiled else _STRIP_OFFSETS)
    sizes = _many(tags, _TILE_SIZES if tiled else _STRIP_SIZES)
    expected = planes * -(-height // block_height) * -(-width // block_width)
    if not len(offsets) == len(sizes) == expected:
        raise NotAnImageError(f"the image is damaged: {len(offsets)} blocks of pixels instead of {expected}")
    corners = product(range(planes), range(0, height, block_height), range(0, width, block_width))
    image = np.empty((height, width, samples), dtype.newbyteorder("="))
    for (plane, top, left), offset, size in zip(corners, offsets, sizes):
        # a tile is always whole, the last strip is not
        rows = block_height if tiled else min(block_height, height - top)
        packed = content[offset : offset + size]
        if len(packed) != size:
            raise NotAnImageError("the image is damaged: the file is cut short")
        raw = _unpack(packed, rows, block_width * depth * dtype.itemsize, _one(tags, _COMPRESSION, 1))
        block = raw.view(dtype).reshape(rows, block_width, depth).astype(image.dtype)
        if _one(tags, _PREDICTOR, 1) == 2:
            block = np.cumsum(block, axis=1, dtype=image.dtype)  # wraps around, as it must
        bottom, right = min(top + rows, height), min(left + block_width, width)
        image[top:bottom, left:right, plane : plane + depth] = block[: bottom - top, : right - left]
    return _turned(image, _one(tags, _ORIENTATION, 1))


def _unpack(packed: bytes, rows: int, row_bytes: int, compression: int) -> np.ndarray:
    """One strip's bytes (rows, row_bytes), decompressed by Pillow as an 8 bit gray image without predictor."""
    if compression == 1:
        if len(packed) < rows * row_bytes:
            raise NotAnImageError("the image is damaged: a block of pixels is cut short")
        return np.frombuffer(packed, np.uint8, rows * row_bytes).reshape(rows, row_bytes)
    entries = (
        (_WIDTH, row_bytes),
        (_HEIGHT, rows),
        (_BITS, 8),
        (_COMPRESSION, compression),
        (_PHOTOMETRIC, 1),
        (_STRIP_OFFSETS, 8 + 2 + 9 * 12 + 4),
        (_SAMPLES, 1),
        (_ROWS_PER_STRIP, rows),
        (_STRIP_SIZES, len(packed)),
    )
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", tag, 4, 1, v) for tag, v in entries)
    wrapped = b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", 0) + packed
    with Image.open(io.BytesIO(wrapped), formats=("TIFF",)) as image:
        return np.array(image)


def _tags(content: bytes) -> Any:
    file = io.BytesIO(content)
    header = file.read(8)
    if header[2:3] == b"+":  # BigTIFF: 64 bit offsets
        header += file.read(8)
    directory = TiffImagePlugin.ImageFileDirectory_v2(header)
    file.seek(directory.next)
    directory.load(file)
    return directory


def _one(tags: Any, tag: int, default: int | None = None) -> int:
    value = tags.get(tag, default)
    value = value[0] if isinstance(value, tuple) and value else value
    if not isinstance(value, int):
        raise NotAnImageError(f"the image is damaged: TIFF tag {TiffTags.lookup(tag).name} is missing or wrong")
    return value


def _many(tags: Any, tag: int, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
    value = tags.get(tag, default)
    value = value if isinstance(value, tuple) else (value,)
    if not all(isinstance(item, int) for item in value):
        raise NotAnImageError(f"the image is damaged: TIFF tag {TiffTags.lookup(tag).name} is missing or wrong")
    return value


def _turned(image: np.ndarray, orientation: int) -> np.ndarray:
    """Apply the EXIF orientation (TIFF 6.0, section 8: 1 to 8; other values mean 1)."""
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)
