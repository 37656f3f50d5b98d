"""Masks as files come: indices, palettes, colours, 16 bits; nothing guessed, everything that does not fit named."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lamplighter.core.errors import InputError, NotAnImageError
from lamplighter.core.seeding import generator
from lamplighter.data.preprocessing import reading
from lamplighter.data.preprocessing.masks import MaskCoding, colours, jpeg, nearest, overlay, png


def encoded(array: np.ndarray, mode: str | None = None, format: str = "PNG", **options: Any) -> bytes:
    picture = Image.fromarray(array) if mode is None else Image.fromarray(array).convert(mode)
    stream = io.BytesIO()
    picture.save(stream, format, **options)
    return stream.getvalue()


INDICES = np.array([[0, 1, 2], [2, 255, 0]], np.uint8)
CLASSES = [[0, 1, 2], [2, -1, 0]]


def palette_png() -> bytes:
    """As PASCAL VOC has them: indices with a palette of colours that mean nothing here."""
    picture = Image.fromarray(INDICES)
    picture.putpalette([value for k in range(256) for value in (k, 255 - k, 7)])
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        encoded(INDICES),
        encoded(INDICES, "LA"),
        encoded(INDICES, "RGB"),
        encoded(INDICES, "RGBA"),
        encoded(INDICES.astype(np.uint16)),
        encoded(INDICES, format="TIFF"),
        encoded(INDICES, format="BMP"),
        palette_png(),
    ],
    ids=["gray", "gray-alpha", "rgb-gray", "rgba-gray", "16-bit", "tiff", "bmp", "palette"],
)
def test_one_mask_in_every_kind_of_file(content: bytes) -> None:
    classes = MaskCoding((0, 1, 2), 255).read(content)
    assert classes.dtype == np.int16 and classes.tolist() == CLASSES


def test_black_and_white() -> None:
    bits = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1")
    stream = io.BytesIO()
    bits.save(stream, "PNG")
    assert MaskCoding((0, 1)).read(stream.getvalue()).tolist() == [[0, 1]]


def test_values_far_apart_in_16_bits() -> None:
    content = encoded(np.array([[7, 40000], [65535, 7]], np.uint16))
    assert MaskCoding((40000, 7), 65535).read(content).tolist() == [[1, 0], [-1, 1]]


def test_colours_stand_for_classes_also_through_a_palette() -> None:
    road, sky, void = (128, 64, 128), (70, 130, 180), (0, 0, 0)
    array = np.array([[road, sky], [void, road]], np.uint8)
    coding = MaskCoding((road, sky), void)
    indexed = Image.fromarray(np.array([[0, 1], [2, 0]], np.uint8))
    indexed.putpalette([*road, *sky, *void])
    stream = io.BytesIO()
    indexed.save(stream, "PNG")
    for content in (encoded(array), encoded(array, "RGBA"), stream.getvalue()):
        assert coding.read(content).tolist() == [[0, 1], [-1, 0]]


def test_a_value_that_is_no_class_is_named_with_its_place() -> None:
    with pytest.raises(InputError, match=r"row 1, column 1 is 255, which is no class; known: 0, 1, 2"):
        MaskCoding((0, 1, 2)).read(encoded(INDICES))
    with pytest.raises(InputError, match=r"row 0, column 0 is \(1, 2, 3\), which is no class; known: \(0, 0, 0\)"):
        MaskCoding(((0, 0, 0), (9, 9, 9))).read(encoded(np.array([[(1, 2, 3)]], np.uint8)))


def test_colours_without_a_palette_are_refused() -> None:
    with pytest.raises(InputError, match=r"data\.palette"):
        MaskCoding((0, 1)).read(encoded(np.array([[(1, 2, 3)]], np.uint8)))


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(NotAnImageError):
        MaskCoding((0, 1)).read(b"mask")
    with pytest.raises(InputError, match="5 channels"):
        reading.read_mask(_five_channels())


def _five_channels() -> bytes:
    import struct

    data = bytes(range(5))
    entries = [(256, 4, 1, 1), (257, 4, 1, 1), (258, 3, 5, 0), (259, 3, 1, 1), (262, 3, 1, 1)]
    entries += [(273, 4, 1, 0), (277, 3, 1, 5), (278, 4, 1, 1), (279, 4, 1, 5)]
    offset = 8 + 2 + 12 * len(entries) + 4
    head = struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", len(entries))
    for tag, kind, count, value in entries:
        stored = offset if tag == 258 else offset + 10 if tag == 273 else value
        head += struct.pack("<HHII", tag, kind, count, stored)
    return head + struct.pack("<I", 0) + struct.pack("<5H", *[8] * 5) + data


@pytest.mark.parametrize("size", [(3, 4), (7, 5), (16, 20), (1, 1)])
def test_nearest_is_pillows_and_invents_no_class(size: tuple[int, int]) -> None:
    mask = generator(0, "nearest").choice(np.array([-1, 0, 3, 7], np.int16), (9, 11))
    wanted = np.asarray(Image.fromarray(mask.astype(np.int32)).resize(size[::-1], Image.Resampling.NEAREST))
    np.testing.assert_array_equal(nearest(mask, *size), wanted)


@pytest.mark.parametrize("classes", [3, 256, 300])
def test_a_written_mask_is_read_back(classes: int) -> None:
    mask = generator(0, "written").integers(0, classes, (9, 11))
    mask[0, 0] = classes - 1
    for content in (png(mask), png(mask, colours(classes))):
        np.testing.assert_array_equal(MaskCoding(tuple(range(classes))).read(content), mask)


def test_colours_are_all_different() -> None:
    assert len(set(colours(64))) == 64 and colours(1) == [(0, 0, 0)] and len(colours(5)) == 5


def test_an_overlay_leaves_class_0_alone_and_shows_others() -> None:
    image = np.full((1, 3, 1), 100, np.uint8)
    shown = overlay(image, np.array([[0, 1, -1]]), alpha=0.5)
    red = np.array(colours(2)[1])
    assert shown[0, 0].tolist() == [100, 100, 100]
    np.testing.assert_allclose(shown[0, 1], (100 + red) / 2, atol=1)
    np.testing.assert_allclose(shown[0, 2], 178, atol=1)
    wide = overlay(np.array([[[0.0], [65535.0]]], np.float32), np.array([[0, 0]]))
    assert wide[0].tolist() == [[0, 0, 0], [255, 255, 255]]
    assert jpeg(shown)[:2] == b"\xff\xd8"
