"""Nearly equal rows: copies with noise found, dense or low-dimensional data left alone."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lamplighter.core.seeding import generator
from lamplighter.data.leakage import content
from lamplighter.data.leakage.near import beyond_chance, near_duplicates, shrink
from lamplighter.data.sources._images import GrayArrays
from lamplighter.data.sources.digits import Digits
from lamplighter.data.sources.table import Table


def _jpeg(image: np.ndarray) -> np.ndarray:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=92)
    return np.asarray(Image.open(io.BytesIO(out.getvalue())))


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "noise": lambda image: (image + generator(0, "noise").normal(0, 2, image.shape)).clip(0, 255).astype(np.uint8),
    "darker": lambda image: (0.85 * image).astype(np.uint8),
    "jpeg": _jpeg,
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_of_images_are_found(change: str) -> None:
    clean = Digits()
    images = clean._images.copy()
    images[clean.splits.test[:40]] = [CHANGES[change](image) for image in images[clean.splits.train[:40]]]
    source = GrayArrays(images, clean._tensors["y"].numpy(), clean.signature.labels, clean.splits)
    found = near_duplicates(content.read(source), source)
    assert found is not None and 36 <= found.rows <= 40
    assert found.message.startswith(f"{found.rows} of 269 test rows that were looked at look like a training image")


@pytest.mark.parametrize("seed", range(5))
def test_clean_digits_do_not_alarm(seed: int) -> None:
    source = Digits(seed=seed)
    assert near_duplicates(content.read(source), source, seed) is None


def test_rounded_copies_of_table_rows_are_found_and_exact_ones_are_not_counted_again(tumours: Any) -> None:
    rows = np.append(np.arange(569), np.arange(0, 400, 5))
    source = tumours(rows=rows, noise=0.0)
    assert near_duplicates(content.read(source), source) is None  # the copies are exact
    noisy = tumours(rows=rows, noise=0.01)  # every row differs a little from every other
    found = near_duplicates(content.read(noisy), noisy)
    positions = {name: set(noisy.splits[name].tolist()) for name in ("train", "val", "test")}
    planted = sum((569 + i in positions["train"]) != (5 * i in positions["train"]) for i in range(80))
    assert found is not None and found.rows == planted > 20


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", ["three", "curve", "walk", "integers", "breast"])
def test_dense_data_do_not_alarm(tmp_path: Path, tumours: Any, shape: str, seed: int) -> None:
    rng = generator(seed, "dense")
    if shape == "breast":
        source = tumours(seed=seed)
    else:
        x = {
            "three": lambda: rng.normal(size=(2000, 3)),
            "curve": lambda: (lambda z: np.hstack([z, z**2, np.sin(z), np.exp(z)]))(rng.normal(size=(1500, 1))),
            "walk": lambda: np.cumsum(rng.normal(size=(1500, 5)), axis=0),
            "integers": lambda: rng.integers(0, 40, size=(1500, 4)) + rng.normal(0, 1e-3, (1500, 4)),
        }[shape]()
        path = tmp_path / "dense.csv"
        names = ",".join(f"c{i}" for i in range(x.shape[1]))
        rows = [",".join(map(str, row)) + f",{'ab'[i % 2]}" for i, row in enumerate(x.tolist())]
        path.write_text("\n".join([f"{names},y", *rows]))
        source = Table(str(path), "y", seed=seed)
    assert near_duplicates(content.read(source), source, seed) is None


def test_the_law_of_even_density_holds() -> None:
    """P(d_1 / d_10 < t) = 1 - (1 - t^D)^9 for points spread evenly in D dimensions, which the verdict rests on."""
    rng = generator(0, "law")
    for dimension in (2, 4):
        radii = rng.random((20000, 10)) ** (1 / dimension)  # of ten points in a ball
        radii.sort(axis=1)
        ratios = radii[:, 0] / radii[:, 9]
        for t in (0.2, 0.5):
            assert (ratios < t).mean() == pytest.approx(1 - (1 - t**dimension) ** 9, abs=0.01)
        assert not beyond_chance(np.ones(20000), ratios, np.ones(20000, bool)).any()


def test_most_rows_copied_is_still_found() -> None:
    ratios = np.append(np.full(80, 0.02), generator(0, "rest").uniform(0.6, 0.95, 20))
    assert beyond_chance(np.ones(100), ratios, np.ones(100, bool)).sum() == 80


def test_shrink_means_over_cells() -> None:
    image = generator(0, "image").integers(0, 256, (2, 12, 18)).astype(float)
    blocks = image.reshape(2, 4, 3, 6, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(shrink(image, 4, 6), blocks, rtol=1e-12)
    np.testing.assert_allclose(shrink(image, 5, 7).mean(axis=(1, 2)), image.mean(axis=(1, 2)), rtol=1e-12)
    np.testing.assert_allclose(shrink(image, 24, 36)[:, ::2, ::2], image, rtol=1e-9)  # enlarging repeats pixels
