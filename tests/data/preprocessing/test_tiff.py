"""TIFFs of many channels, written here by hand (TIFF 6.0) so that reader and writer share no code."""

from __future__ import annotations

import contextlib
import struct
import zlib

import numpy as np
import pytest

from lamplighter.core.errors import InputError, NotAnImageError
from lamplighter.core.seeding import generator
from lamplighter.data.preprocessing import tiff
from lamplighter.data.preprocessing.reading import Layout, probe, read

RNG = generator(0, "tiff")


def write(
    array: np.ndarray,
    order: str = "<",
    photometric: int = 1,
    extra: tuple[int, ...] = (),
    planar: bool = False,
    block: tuple[int, int] | None = None,
    rows_per_strip: int = 4,
    deflate: bool = False,
    predictor: bool = False,
    orientation: int = 1,
) -> bytes:
    """A TIFF of (height, width, samples) in strips, or in tiles of ``block``."""
    height, width, samples = array.shape
    planes = [array[:, :, [channel]] for channel in range(samples)] if planar else [array]
    blocks = []
    for plane in planes:
        tall, wide = block or (rows_per_strip, width)
        for top in range(0, height, tall):
            for left in range(0, width, wide):
                piece = plane[top : top + tall, left : left + wide]
                if block:  # tiles are always whole
                    piece = np.pad(piece, ((0, tall - piece.shape[0]), (0, wide - piece.shape[1]), (0, 0)))
                if predictor:  # differences start anew in every block
                    piece = np.concatenate([piece[:, :1], piece[:, 1:] - piece[:, :-1]], axis=1)
                raw = piece.astype(piece.dtype.newbyteorder(order)).tobytes()
                blocks.append(zlib.compress(raw) if deflate else raw)
    offsets, body = [], b""
    for packed in blocks:
        offsets.append(8 + len(body))
        body += packed
    tags: dict[int, tuple[int, ...]] = {
        256: (width,),
        257: (height,),
        258: (array.dtype.itemsize * 8,) * samples,
        259: (8 if deflate else 1,),
        262: (photometric,),
        274: (orientation,),
        277: (samples,),
        284: (2 if planar else 1,),
        317: (2 if predictor else 1,),
    }
    if block:
        tags |= {322: (block[1],), 323: (block[0],), 324: tuple(offsets), 325: tuple(map(len, blocks))}
    else:
        tags |= {273: tuple(offsets), 278: (rows_per_strip,), 279: tuple(map(len, blocks))}
    if extra:
        tags[338] = extra
    start = 8 + len(body)
    values_at = start + 2 + 12 * len(tags) + 4
    directory, values = struct.pack(order + "H", len(tags)), b""
    for tag, numbers in sorted(tags.items()):
        packed_numbers = struct.pack(f"{order}{len(numbers)}I", *numbers)
        where = packed_numbers if len(numbers) == 1 else struct.pack(order + "I", values_at + len(values))
        values += packed_numbers if len(numbers) > 1 else b""
        directory += struct.pack(order + "HHI", tag, 4, len(numbers)) + where
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(order + "I", start) + body + directory + struct.pack(order + "I", 0) + values


def pixels(samples: int, dtype: type = np.uint16) -> np.ndarray:
    return RNG.integers(0, np.iinfo(dtype).max + 1, (21, 19, samples)).astype(dtype)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("samples", [2, 5, 13])
@pytest.mark.parametrize(
    ("layout", "deflate"),
    [
        *((layout, deflate) for layout in ("strips", "planes", "tiles") for deflate in (False, True)),
        ("predictor", True),
        ("tiles and predictor", True),
    ],
)
def test_samples_come_back_exactly(order: str, dtype: type, samples: int, deflate: bool, layout: str) -> None:
    array = pixels(samples, dtype)
    block = (16, 16) if "tiles" in layout else None
    content = write(
        array, order, deflate=deflate, planar=layout == "planes", block=block, predictor="predictor" in layout
    )
    assert tiff.is_ours(content)
    assert read(content).dtype == dtype
    assert np.array_equal(read(content, samples), array)
    assert probe(content) == Layout(21, 19, samples, 8 if dtype == np.uint8 else 16)


def test_16_bit_colour_keeps_its_low_bytes() -> None:
    array = pixels(3)
    assert np.array_equal(read(write(array, photometric=2), 3), array)
    with_alpha = pixels(4)
    assert np.array_equal(read(write(with_alpha, photometric=2, extra=(2,)), 1), with_alpha)


def test_bands_beyond_colour_are_kept_when_wanted_and_left_out_when_not() -> None:
    near_infrared = pixels(4, np.uint8)
    content = write(near_infrared, photometric=2, extra=(0,))
    assert np.array_equal(read(content, 4), near_infrared)
    assert np.array_equal(read(content, 3), near_infrared[:, :, :3])  # never taken for transparency


def test_channels_without_meaning_are_not_guessed() -> None:
    with pytest.raises(InputError, match="4 channels of no stated meaning, this model takes 3"):
        read(write(pixels(4), extra=(0, 0, 0)), 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation: int) -> None:
    array = pixels(5)
    turned = {
        1: array,
        2: array[:, ::-1],
        3: np.rot90(array, 2),
        4: array[::-1],
        5: array.swapaxes(0, 1),
        6: np.rot90(array, -1),
        7: np.rot90(array.swapaxes(0, 1), 2),
        8: np.rot90(array, 1),
    }[orientation]
    content = write(array, orientation=orientation)
    assert np.array_equal(read(content), turned)
    assert (probe(content).height, probe(content).width) == turned.shape[:2]


@pytest.mark.parametrize("deflate", [False, True])
def test_cut_short_and_damaged_files_are_refused(deflate: bool) -> None:
    content = write(pixels(5), deflate=deflate)
    with pytest.raises(NotAnImageError):
        read(content[:-30])
    rng = generator(1, "damage")
    for _ in range(300):
        broken = bytearray(content)
        for position in rng.integers(len(content) - 300, len(content), 2):
            broken[position] = rng.integers(256)
        with contextlib.suppress(InputError):
            read(bytes(broken))


def test_an_absurd_size_is_refused_without_taking_the_memory() -> None:
    content = write(pixels(5))
    for tag in (256, 277):  # width, samples
        entry = struct.pack("<HHI", tag, 4, 1)
        position = content.index(entry) + len(entry)
        broken = content[:position] + struct.pack("<I", 2**30) + content[position + 4 :]
        with pytest.raises(InputError):
            read(broken)


def test_bigtiff_in_little_endian_order_only() -> None:
    array = RNG.integers(0, 256, (2, 3, 5), dtype=np.uint8)
    tags = {256: 3, 257: 2, 258: 8, 259: 1, 262: 1, 273: 16, 277: 5, 278: 2, 279: 30}
    entries = b"".join(struct.pack("<HHQQ", tag, 4, 1, value) for tag, value in tags.items())
    head = b"II+\0" + struct.pack("<HHQ", 8, 0, 46)
    content = head + array.tobytes() + struct.pack("<Q", len(tags)) + entries + struct.pack("<Q", 0)
    assert np.array_equal(read(content), array)
    with pytest.raises(InputError, match="little-endian"):
        read(b"MM\0+" + content[4:])
