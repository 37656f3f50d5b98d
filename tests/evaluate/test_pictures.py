"""Every kind of raw picture becomes a small PNG that shows the same thing."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lamplighter.evaluate.pictures import SIZE, data_uri


def _decode(uri: str) -> Image.Image:
    assert uri.startswith("data:image/png;base64,")
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def _ramp(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


@pytest.mark.parametrize(
    ("array", "mode"),
    [
        (_ramp(6, 7), "L"),
        (_ramp(6, 7, 1), "L"),
        (_ramp(6, 7, 2), "L"),
        (_ramp(6, 7, 3), "RGB"),
        (_ramp(6, 7, 4), "RGB"),
        (_ramp(6, 7, 13), "RGB"),
    ],
)
def test_8_bit_arrays_keep_their_pixels(array: np.ndarray, mode: str) -> None:
    picture = _decode(data_uri(array))
    assert picture.mode == mode and picture.size == (7, 6)
    kept = array[..., :3] if mode == "RGB" else array.reshape(6, 7, -1)[..., 0]
    assert np.array_equal(np.asarray(picture), kept)


@pytest.mark.parametrize("array", [1000 + _ramp(4, 4, dtype=np.uint16), _ramp(4, 4, dtype=np.float32) - 7])
def test_other_ranges_are_stretched(array: np.ndarray) -> None:
    pixels = np.asarray(_decode(data_uri(array)))
    assert pixels.min() == 0 and pixels.max() == 255 and (np.diff(pixels.ravel().astype(int)) > 0).all()


@pytest.mark.parametrize("array", [np.full((3, 3), 7.0), np.full((3, 3), np.nan), np.zeros((3, 3), dtype=bool)])
def test_flat_pictures_do_not_divide_by_zero(array: np.ndarray) -> None:
    assert np.asarray(_decode(data_uri(array))).max() == 0


def test_large_pictures_are_reduced_and_keep_their_proportions() -> None:
    assert _decode(data_uri(_ramp(400, 200, 3))).size == (SIZE // 2, SIZE)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "CMYK", "LA", "I;16", "I", "F"])
def test_files_and_bytes_of_every_mode(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "picture.tiff"
    image = Image.fromarray(_ramp(20, 30, dtype=np.uint16)) if mode == "I;16" else Image.new(mode, (30, 20))
    image.save(path)
    sources: list[Any] = [path, str(path), path.read_bytes()]
    for raw in sources:
        assert _decode(data_uri(raw)).size == (30, 20)


def test_orientation_is_respected(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "p.jpg", exif=exif)
    assert _decode(data_uri(tmp_path / "p.jpg")).size == (20, 40)


def test_what_cannot_be_shown_says_so(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG no")
    with pytest.raises(OSError):
        data_uri(tmp_path / "broken.png")
    with pytest.raises(OSError):
        data_uri(tmp_path / "gone.png")
    with pytest.raises(ValueError, match="no picture"):
        data_uri(np.zeros(5))
    with pytest.raises(ValueError, match="no picture"):
        data_uri(np.zeros((0, 4)))
