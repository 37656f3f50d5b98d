"""Groups and time: found when the split ignores them, silent when it respects them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lamplighter.core import registry
from lamplighter.core.seeding import generator
from lamplighter.data.leakage import content, structure


def _days(order: np.ndarray) -> list[str]:
    return [str(np.datetime64("2024-01-01") + int(day)) for day in order]


@pytest.mark.parametrize("name", ["patient_id", "PatientID", "userId", "subject", "session-no"])
def test_patients_on_both_sides_are_named(tumours: Any, name: str) -> None:
    people = [f"p{i % 120}" for i in generator(0, "people").permutation(569)]
    source = tumours(extra={name: people}, columns={name: "ignore"})
    (found,) = structure.divided_groups(content.read(source), source)
    assert f"column '{name}'" in found.message and f"column: {name}" in found.advice
    known = {people[row] for row in source.splits.train}
    held_out = np.concatenate([source.splits.val, source.splits.test])
    assert found.rows == sum(people[row] in known for row in held_out) > 100
    assert set(found.examples) <= known


def test_a_split_by_group_is_silent(tumours: Any) -> None:
    from lamplighter.data.split_rules import SplitBy

    people = [f"p{i % 120}" for i in generator(0, "people").permutation(569)]
    source = tumours(extra={"patient_id": people}, split=SplitBy(by="group", column="patient_id"))
    assert structure.divided_groups(content.read(source), source) == []


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("ward", lambda i: f"w{i % 12}"),  # no name of a group
        ("patient_id", lambda i: f"p{i}"),  # everyone once
        ("group", lambda i: "ABC"[i % 3]),  # a category
        ("visit", lambda i: i % 15),  # a count
    ],
)
def test_columns_that_are_no_groups(tumours: Any, name: str, values: Any) -> None:
    source = tumours(extra={name: [values(i) for i in range(569)]})
    assert structure.divided_groups(content.read(source), source) == []


def test_training_on_the_future(tumours: Any) -> None:
    from lamplighter.data.split_rules import SplitBy

    order = generator(0, "order").permutation(569)
    source = tumours(extra={"taken": _days(order)})
    (found,) = structure.time_order(content.read(source), source)
    latest = max(order[source.splits.train])
    held_out = np.concatenate([source.splits.val, source.splits.test])
    assert found.rows == (order[held_out] < latest).sum() > 100
    assert "column 'taken'" in found.message and "{by: time, column: taken}" in found.advice
    assert found.examples[0] == _days(np.array([order[held_out].min()]))[0]
    timed = tumours(extra={"taken": _days(order)}, split=SplitBy(by="time", column="taken"))
    assert structure.time_order(content.read(timed), timed) == []
    born = tumours(extra={"date_of_birth": _days(order)})
    assert structure.time_order(content.read(born), born) == []


def test_ignored_date_columns_count_too_and_others_do_not(tumours: Any) -> None:
    order = generator(0, "order").permutation(569)
    ignored = tumours(extra={"taken": _days(order)}, columns={"taken": "ignore"})
    assert len(structure.time_order(content.read(ignored), ignored)) == 1
    few = tumours(extra={"batch": _days(order % 5)})
    assert structure.time_order(content.read(few), few) == []
    plain = tumours()
    assert structure.time_order(content.read(plain), plain) == []


def _picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(generator(seed, "picture").integers(0, 256, (6, 6), dtype=np.uint8)).save(path)


def test_folders_of_patients_below_the_classes(tmp_path: Path) -> None:
    for n in range(90):
        _picture(tmp_path / "ab"[n // 3 % 2] / f"patient{n // 3}" / f"{n}.png", n)
    source = registry.build("source", "image-folder", {"path": str(tmp_path)}, {"seed": 0})
    (found,) = structure.divided_groups(content.read(source), source)
    assert "sub-folders of the classes" in found.message and "pattern" in found.advice
    rule = {"by": "group", "pattern": "patient[0-9]+"}
    grouped = registry.build("source", "image-folder", {"path": str(tmp_path), "split": rule}, {"seed": 0})
    assert structure.divided_groups(content.read(grouped), grouped) == []


def test_flat_folders_have_no_groups(tmp_path: Path) -> None:
    for n in range(60):
        _picture(tmp_path / "ab"[n % 2] / f"{n}.png", n)
    source = registry.build("source", "image-folder", {"path": str(tmp_path)}, {"seed": 0})
    assert structure.divided_groups(content.read(source), source) == []


def test_a_table_of_images_has_columns_too(tmp_path: Path) -> None:
    rows = []
    for n in range(60):
        _picture(tmp_path / f"{n}.png", n)
        rows.append(f"{n}.png,s{n // 4},{np.datetime64('2024-01-01') + n * 7 % 60},{'ab'[n % 2]}")
    (tmp_path / "scans.csv").write_text("\n".join(["image,subject,day,sick", *rows]))
    params = {"path": str(tmp_path / "scans.csv"), "targets": ["sick"]}
    source = registry.build("source", "image-table", params, {"seed": 0})
    rows_ = content.read(source)
    assert [f.check for f in structure.divided_groups(rows_, source)] == ["group"]
    assert [f.check for f in structure.time_order(rows_, source)] == ["time-order"]
