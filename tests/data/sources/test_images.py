"""What the image sources share."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lamplighter.core.errors import DataError
from lamplighter.core.seeding import generator
from lamplighter.data.sources import _images
from lamplighter.data.sources._images import Format, ImageRows, Images, channel_statistics, decide_format

FORMAT = Format(size=(6, 5), channels=3, bits=8)


def write(folder: Path, count: int, shape: tuple[int, ...] = (6, 5, 3), dtype: type = np.uint8) -> list[Path]:
    rng = generator(0, "pictures")
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:03}.png" for number in range(count)]
    for path in paths:
        Image.fromarray(rng.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)).save(path)
    return paths


def images(paths: list[Path], cache_mb: int = 10, layout: Format = FORMAT) -> Images:
    return Images(paths, layout.preprocessing(), layout.tensor(), cache_mb)


@pytest.mark.parametrize("layout", [FORMAT, Format((4, 4), 1, 16)])
def test_kept_and_decoded_on_demand_are_the_same(tmp_path: Path, layout: Format) -> None:
    paths = write(tmp_path, 9)
    kept, lazy = images(paths, layout=layout), images(paths, cache_mb=0, layout=layout)
    assert kept.tensor is not None and lazy.tensor is None
    indices = np.array([8, 0, 3])
    expected = layout.preprocessing()([paths[i] for i in indices])["x"]
    for either in (kept, lazy):
        x = either.fetch(indices)
        assert x.numpy().dtype == layout.tensor().dtype and np.array_equal(x.numpy(), expected)


def test_rows_say_whether_they_decode(tmp_path: Path) -> None:
    paths = write(tmp_path, 4)
    y = torch.tensor([0, 1, 2, 3])
    for cache_mb, decodes in ((10, False), (0, True)):
        rows = ImageRows(images(paths, cache_mb), y, np.array([3, 1]))
        assert rows.decodes is decodes and len(rows) == 2
        batch = rows.fetch(np.array([1, 0]))
        assert batch["y"].tolist() == [1, 3]
        assert np.array_equal(batch["x"][1].numpy(), np.asarray(Image.open(paths[3])).transpose(2, 0, 1))
        with pytest.raises(IndexError):
            rows.fetch(np.array([2]))


@pytest.mark.parametrize("cache_mb", [0, 10])
@pytest.mark.parametrize("layout", [FORMAT, Format((6, 5), 3, 16)])
def test_statistics_of_the_chosen_images(tmp_path: Path, cache_mb: int, layout: Format) -> None:
    paths = write(tmp_path, 9)
    chosen = np.array([0, 4, 5])
    mean, deviation = images(paths, cache_mb, layout).statistics(chosen)
    x = layout.preprocessing()([paths[i] for i in chosen])["x"].astype(np.float64)
    assert np.allclose(mean, x.mean(axis=(0, 2, 3)), rtol=1e-10)
    assert np.allclose(deviation, x.std(axis=(0, 2, 3)), rtol=1e-10)


def test_statistics_of_tensors() -> None:
    x = torch.randint(0, 256, (5000, 2, 3, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    chosen = np.arange(0, 5000, 2)[::-1]
    mean, deviation = channel_statistics(x, chosen)
    values = x.double()[::2]
    assert mean == pytest.approx(values.mean(dim=(0, 2, 3)).tolist(), rel=1e-12)
    assert deviation == pytest.approx(values.std(dim=(0, 2, 3), correction=0).tolist(), rel=1e-12)


@pytest.mark.parametrize("value", [0, 7, 255])
def test_a_constant_channel_has_deviation_one(value: int) -> None:
    assert channel_statistics(torch.full((3, 1, 2, 2), value, dtype=torch.uint8), np.arange(3)) == ([value], [1.0])


def test_all_damaged_files_are_reported_together(tmp_path: Path) -> None:
    paths = write(tmp_path, 40)
    for path in paths[5:17]:
        path.write_bytes(path.read_bytes()[:60])
    paths[20].unlink()
    with pytest.raises(DataError) as caught:
        images(paths)
    lines = str(caught.value).splitlines()
    assert lines[0] == "13 of 40 images cannot be used; repair or remove them and start again:"
    assert len(lines) == 12 and lines[11] == "  ... and 3 more"
    assert lines[1].startswith(f"  {paths[5]}: the image is damaged")
    assert lines[1].count(str(paths[5])) == 1


def test_an_image_that_vanishes_during_training_is_named(tmp_path: Path) -> None:
    paths = write(tmp_path, 3)
    lazy = images(paths, cache_mb=0)
    paths[1].unlink()
    with pytest.raises(DataError, match=rf"{paths[1].name}: no such file"):
        lazy.fetch(np.array([0, 1]))


def test_the_format_is_what_the_files_agree_on(tmp_path: Path) -> None:
    colour = write(tmp_path / "colour", 2, (6, 5, 3))
    gray = write(tmp_path / "gray", 2, (6, 5))
    deep = write(tmp_path / "deep", 2, (6, 5), np.uint16)
    large = write(tmp_path / "large", 1, (60, 50))
    see_through = write(tmp_path / "alpha", 1, (6, 5, 4))
    assert decide_format(colour, None, "auto", "auto") == Format((6, 5), 3, 8)
    assert decide_format(gray, None, "auto", "auto") == Format((6, 5), 1, 8)
    assert decide_format(gray + deep, None, "auto", "auto") == Format((6, 5), 1, 16)
    assert decide_format(gray + colour, None, "auto", "auto") == Format((6, 5), 3, 8)
    assert decide_format(see_through, None, "auto", "auto") == Format((6, 5), 3, 8)
    assert decide_format(gray + large, None, "auto", "auto") == Format((64, 64), 1, 8)
    assert decide_format(gray + large, (7, 9), 4, "auto") == Format((7, 9), 4, 8)
    assert decide_format([], (7, 9), 4, 16) == Format((7, 9), 4, 16)


def test_deciding_names_files_that_are_no_images(tmp_path: Path) -> None:
    paths = write(tmp_path, 3)
    paths[1].write_bytes(b"")
    with pytest.raises(DataError, match=r"1 of 3 images cannot be used.*\n  .*001\.png: no bytes: the file is empty"):
        decide_format(paths, None, "auto", "auto")


def test_signatures_fit_the_tensors() -> None:
    signature = Format((6, 5), 3, 16).signature(["a", "b"])
    assert signature.inputs[0].shape == (6, 5, 3)
    assert signature.tensors[0].shape == (3, 6, 5) and signature.tensors[0].dtype == "float32"
    assert FORMAT.tensor().dtype == "uint8" and FORMAT.column("photo").name == "photo"


@pytest.mark.parametrize("terminal", [False, True])
def test_long_work_shows_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(_images.time, "monotonic", lambda: now)
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    progress = _images._Progress("decoding images", 1000, show=True)
    progress.advance(100)
    assert capsys.readouterr().err == ""
    now += 3
    progress.advance(100)
    progress.advance(100)
    progress.close()
    shown = capsys.readouterr().err
    assert "decoding images" in shown
    assert terminal or shown == "decoding images: 200 of 1000\n"
