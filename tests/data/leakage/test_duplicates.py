"""Equal rows across splits: all of them found, accidents in coarse tables left alone."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamplighter.core.seeding import generator
from lamplighter.data.leakage import content
from lamplighter.data.leakage.duplicates import exact, note
from lamplighter.data.sources._images import GrayArrays
from lamplighter.data.sources.digits import Digits
from lamplighter.data.sources.table import Table
from lamplighter.data.splits import Splits


def _crossing(splits: Splits, twins: dict[int, int]) -> int:
    part = {int(row): number for number, name in enumerate(("train", "val", "test")) for row in splits[name]}
    return sum(part[row] != part[twin] for row, twin in twins.items())


def test_every_planted_row_is_found_and_named(tumours: Any) -> None:
    rows = np.append(np.arange(569), np.arange(0, 400, 10))  # forty rows stand twice
    source = tumours(rows=rows)
    found = exact(content.read(source), source)
    twins = {569 + i: 10 * i for i in range(40)}
    assert found is not None and found.rows == _crossing(source.splits, twins) > 10
    first, second = found.examples[0].split(" = ")
    lines = [int(text.rpartition(":")[2]) - 2 for text in (first, second)]
    assert rows[lines[0]] == rows[lines[1]] and lines[0] != lines[1]
    assert str(found) in str(note(source))


def test_equal_images_are_found_whatever_their_label() -> None:
    clean = Digits()
    images = clean._images.copy()
    images[clean.splits.test[:7]] = images[clean.splits.train[:7]]
    images[clean.splits.val[3]] = images[clean.splits.train[9]]
    images[clean.splits.test[20]] = 0
    images[clean.splits.train[20]] = 0  # blank images say nothing
    y = clean._tensors["y"].numpy()
    source = GrayArrays(images, y, clean.signature.labels, clean.splits)
    found = exact(content.read(source), source)
    assert found is not None and found.rows == 8
    assert found.message.startswith("7 of 269 test rows and 1 of 270 val rows have the same inputs")
    assert f"row {clean.splits.test[:7].min()} (test) = row " in " ".join(found.examples)


@pytest.mark.parametrize("seed", range(10))
def test_rows_of_few_values_are_equal_by_accident(tmp_path: Path, seed: int) -> None:
    rng = generator(seed, "coarse")
    rows = [f"{rng.integers(5)},{'abc'[rng.integers(3)]},{rng.integers(2)},{'xy'[rng.integers(2)]}" for _ in range(400)]
    path = tmp_path / "coarse.csv"
    path.write_text("\n".join(["size,kind,flag,y", *rows]))
    assert note(Table(str(path), "y", seed=seed)) is None


def test_one_rare_value_makes_a_copy_certain(tmp_path: Path) -> None:
    rng = generator(0, "rare")
    cells = [f"{rng.integers(5)},{rng.normal()},{rng.normal()},{rng.normal()},{'xy'[i % 2]}" for i in range(300)]
    path = tmp_path / "rare.csv"
    path.write_text("\n".join(["size,a,b,c,y", *cells, *cells[:30]]))
    source = Table(str(path), "y")
    found = exact(content.read(source), source)
    assert found is not None and found.rows == _crossing(source.splits, {300 + i: i for i in range(30)})


def test_fast_enough_before_every_training_and_never_for_huge_data(monkeypatch: pytest.MonkeyPatch) -> None:
    images = generator(0, "many").integers(0, 256, (70_000, 28, 28), dtype=np.uint8)
    order = np.arange(70_000)
    source = GrayArrays(
        images, order % 10, [str(i) for i in range(10)], Splits(order[:60000], order[60000:65000], order[65000:])
    )
    began = time.process_time()
    assert note(source) is None
    assert time.process_time() - began < 1.5  # 0.5 s on a quiet machine
    images[69_999] = images[5]
    assert "1 of 5,000 test rows" in str(note(source))
    monkeypatch.setattr("lamplighter.data.leakage.duplicates._BYTES", 10**6)
    assert note(source) is None
