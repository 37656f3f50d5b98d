"""Reading image files: every format, depth and orientation; and every way they are broken."""

from __future__ import annotations

import base64
import contextlib
import io
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lamplighter.core.errors import InputError, NotAnImageError
from lamplighter.core.seeding import generator
from lamplighter.data.preprocessing import reading
from lamplighter.data.preprocessing.reading import Layout, probe, read

RNG = generator(0, "images")
RGB = RNG.integers(0, 256, (5, 8, 3), dtype=np.uint8)
WIDE = RNG.integers(0, 65536, (5, 8, 4), dtype=np.uint16)
# what the EXIF orientations mean (EXIF 2.32, tag 274): stored array -> upright array
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: np.rot90(a, 2),
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a.swapaxes(0, 1), 2),
    8: lambda a: np.rot90(a, 1),
}


def encode(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **({"lossless": True} if format == "WEBP" else {}), **options)
    return buffer.getvalue()


def png(array: np.ndarray, colour_type: int, bits: int = 16, before: bytes = b"") -> bytes:
    """A PNG written by hand (ISO/IEC 15948), since Pillow writes no 16 bit colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = array.shape[:2]
    lines = b"".join(b"\0" + line.astype(">u2" if bits == 16 else "u1").tobytes() for line in array)
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + data


def test_reading_imports_no_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import lamplighter.data.preprocessing.image"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "BMP"])
def test_lossless_formats_come_back_exactly(format: str, tmp_path: Path) -> None:
    content = encode(Image.fromarray(RGB), format)
    assert np.array_equal(read(content), RGB)
    path = tmp_path / "image"
    path.write_bytes(content)
    assert np.array_equal(read(path), RGB) and np.array_equal(read(str(path)), RGB)
    assert np.array_equal(read(memoryview(content)), RGB)
    assert probe(path) == Layout(5, 8, 3, 8)


def test_jpeg_is_close() -> None:
    smooth = np.add.outer(np.arange(32), np.arange(40)).astype(np.uint8)
    gray = read(encode(Image.fromarray(smooth), "JPEG", quality=95))
    assert gray.shape == (32, 40, 1)
    assert np.abs(gray[:, :, 0].astype(int) - smooth).max() <= 3


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_png_keeps_16_bits_of_every_channel(colour_type: int, channels: int) -> None:
    array = WIDE[:, :, :channels]
    content = png(array, colour_type)
    assert read(content).dtype == np.uint16
    assert np.array_equal(read(content), array)
    assert probe(content) == Layout(5, 8, channels, 16)


@pytest.mark.parametrize("order", ["<", ">"])
def test_gray_tiff_keeps_16_bits(order: str) -> None:
    array = WIDE[:, :, 0]
    content = encode(Image.fromarray(array), "TIFF", big_endian=order == ">")
    assert np.array_equal(read(content)[:, :, 0], array)
    assert probe(content) == Layout(5, 8, 1, 16)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("format", "mode"),
    [
        *((format, mode) for format in ("PNG", "TIFF", "WEBP", "JPEG") for mode in ("RGB", "L")),
        ("PNG", "I;16"),
        ("TIFF", "I;16"),
    ],
)
def test_exif_orientation(format: str, mode: str, orientation: int) -> None:
    image = Image.fromarray(WIDE[:, :, 0]) if mode == "I;16" else Image.fromarray(RGB).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    plain, turned = read(encode(image, format)), encode(image, format, exif=exif)
    assert np.array_equal(read(turned), UPRIGHT[orientation](plain))
    layout = probe(turned)
    assert (layout.height, layout.width, layout.channels) == read(turned).shape


def test_exif_orientation_of_16_bit_colour() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    body = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(body)) + b"eXIf" + body + struct.pack(">I", zlib.crc32(b"eXIf" + body))
    content = png(WIDE[:, :, :3], 2, before=chunk)
    assert np.array_equal(read(content), UPRIGHT[6](WIDE[:, :, :3]))
    assert probe(content) == Layout(8, 5, 3, 16)


def test_palette_one_bit_and_cmyk_images() -> None:
    two = np.array([[0, 255], [255, 0]], np.uint8)
    assert np.array_equal(read(encode(Image.fromarray(two).convert("1"), "PNG"))[:, :, 0], two)
    palette = Image.fromarray(RGB[:2, :2]).quantize(4)
    assert np.array_equal(read(encode(palette, "PNG")), np.asarray(palette.convert("RGB")))
    cmyk = Image.fromarray(RGB).convert("CMYK")
    assert np.array_equal(read(encode(cmyk, "TIFF")), np.asarray(cmyk.convert("RGB")))


def test_transparency_is_a_channel() -> None:
    rgba = RNG.integers(0, 256, (4, 4, 4), dtype=np.uint8)
    assert np.array_equal(read(encode(Image.fromarray(rgba), "PNG")), rgba)
    assert np.array_equal(read(encode(Image.fromarray(rgba), "TIFF")), rgba)
    gray = Image.fromarray(np.array([[7, 9]], np.uint8))
    assert read(encode(gray, "PNG", transparency=9)).tolist() == [[[7, 255], [9, 0]]]
    assert probe(encode(gray, "PNG", transparency=9)).channels == 2
    colour = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    assert read(encode(colour, "PNG", transparency=(4, 5, 6))).tolist() == [[[1, 2, 3, 255], [4, 5, 6, 0]]]


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame(format: str) -> None:
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "blue", "green")]
    content = encode(frames[0], format, save_all=True, append_images=frames[1:], duration=100)
    assert read(content)[:, :, :3].reshape(-1, 3).tolist() == [[255, 0, 0]] * 24


def test_pages_of_a_tiff_are_channels_when_their_number_is_asked_for() -> None:
    pages = [Image.fromarray(WIDE[:, :, channel]) for channel in range(4)]
    content = encode(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    assert np.array_equal(read(content, channels=4), WIDE)
    assert np.array_equal(read(content, channels=1), WIDE[:, :, :1])
    uneven = encode(pages[0], "TIFF", save_all=True, append_images=[pages[1].resize((3, 3))])
    with pytest.raises(InputError, match="2 pages of the file differ"):
        read(uneven, channels=2)


def test_32_bit_and_floating_point_pixels() -> None:
    inside = Image.fromarray(np.array([[0, 65535]], np.int32))
    assert read(encode(inside, "TIFF")).tolist() == [[[0], [65535]]]
    with pytest.raises(InputError, match="from 0 to 65536"):
        read(encode(Image.fromarray(np.array([[0, 65536]], np.int32)), "TIFF"))
    with pytest.raises(InputError, match="floating point"):
        read(encode(Image.fromarray(np.array([[0.5]], np.float32)), "TIFF"))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_a_file_cut_short_is_refused(format: str, kept: float) -> None:
    noise = RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    content = encode(Image.fromarray(noise), format)
    with pytest.raises(NotAnImageError):
        read(content[: int(len(content) * kept)])


def test_a_flipped_bit_in_a_png_is_noticed() -> None:
    content = encode(Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)), "PNG")
    for position in range(60, len(content) - 20, 997):
        broken = bytearray(content)
        broken[position] ^= 1
        with pytest.raises(NotAnImageError, match="damaged"):
            read(bytes(broken))


@pytest.mark.parametrize(
    "content",
    [b"", b"text", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*\0\0\0\x08", b"%!PS-Adobe-3.0 EPSF", b"P6 1 1 255 abc"],
)
def test_what_is_no_image(content: bytes) -> None:
    for function in (read, probe):
        with pytest.raises(NotAnImageError):
            function(content)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "TIFF16"])
def test_random_damage_never_escapes_as_another_error(format: str) -> None:
    if format == "TIFF16":
        content = png(WIDE, 6)
    else:
        content = encode(Image.fromarray(RGB), format)
    rng = generator(1, format)
    for _ in range(120):
        broken = bytearray(content)
        for position in rng.integers(0, len(broken), 3):
            broken[position] = rng.integers(256)
        for function in (read, probe):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with contextlib.suppress(InputError):
                    function(bytes(broken))


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    for side in (12_000, 20_000, 2**20):
        header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
        with pytest.raises(InputError, match="pixels"):
            read(b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 9) + b"IDAT" + b"\0" * 60)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file") as caught:
        read(tmp_path / "none.png")
    assert not isinstance(caught.value, NotAnImageError)
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path)
    with pytest.raises(InputError):
        read("http://127.0.0.1:9/cat.png")
    with pytest.raises(InputError, match="cannot be read"):
        read("a\0b")


def test_a_client_sends_base64_and_can_never_name_a_file(tmp_path: Path) -> None:
    content = encode(Image.fromarray(RGB), "PNG")
    text = base64.b64encode(content).decode()
    assert reading.from_client(text) == content
    assert reading.from_client(f"data:image/png;base64,{text}") == content
    assert reading.from_client(content) is content
    assert reading.from_client([[1]]) == [[1]]
    path = tmp_path / "secret.png"
    path.write_bytes(content)
    for given in (str(path), path, "../secret.png", 7, None, {"a": 1}):
        with pytest.raises(InputError) as refused:
            reading.from_client(given)
        assert refused.value.status == 422


def test_every_ending_of_a_known_format_is_that_of_an_image() -> None:
    Image.init()
    known = {suffix for suffix, format in Image.registered_extensions().items() if format in reading.FORMATS}
    assert known == reading.SUFFIXES
