"""`split: {by: group | time}` in recipes: what is kept together, what becomes an input, what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lamplighter.core import registry
from lamplighter.core.errors import DataError, RecipeError
from lamplighter.core.recipe import Recipe
from lamplighter.core.seeding import generator
from lamplighter.data.splits import Splits

PATIENTS = 40


@pytest.fixture
def visits(tmp_path: Path) -> Path:
    """240 visits of 40 patients on 120 days, two a day, in no order."""
    rng = generator(0, "visits")
    rows: list[list[Any]] = [["patient", "day", "pulse", "ward", "ill"]]
    for visit in rng.permutation(240):
        day = np.datetime64("2024-01-01") + visit // 2
        rows.append([f"p{visit % PATIENTS:02}", str(day), rng.normal(70, 9), "ABC"[visit % 3], int(rng.random() < 0.3)])
    path = tmp_path / "visits.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def _build(name: str, params: dict[str, Any], seed: int = 0, splits: Splits | None = None) -> Any:
    return registry.build("source", name, params, {"seed": seed, "splits": splits})


def _cells(path: Path, column: str) -> np.ndarray:
    with path.open(newline="") as file:
        return np.array([row[column] for row in csv.DictReader(file)])


def test_no_patient_on_both_sides(visits: Path) -> None:
    params = {"path": str(visits), "target": "ill", "split": {"by": "group", "column": "patient"}}
    source = _build("table", params)
    patients = _cells(visits, "patient")
    parts = [set(patients[source.splits[name]]) for name in ("train", "val", "test")]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    assert [len(part) for part in parts] == [28, 6, 6]
    assert "patient" not in [column.name for column in source.signature.inputs]
    assert any("split by 'patient', 40 groups: train 70.0%, val 15.0%, test 15.0%" in note for note in source.notes)
    ill = _cells(visits, "ill").astype(int)
    rates = [ill[source.splits[name]].mean() for name in ("train", "val", "test")]
    assert max(rates) - min(rates) < 0.06
    assert _build("table", params, seed=1).splits != source.splits


def test_train_on_the_past(visits: Path) -> None:
    rule = {"by": "time", "column": "day", "shares": [0.5, 0.25, 0.25]}
    source = _build("table", {"path": str(visits), "target": "ill", "split": rule})
    days = _cells(visits, "day")
    train, val, test = (days[source.splits[name]] for name in ("train", "val", "test"))
    assert max(train) < min(val) and max(val) < min(test)
    assert [len(train), len(val), len(test)] == [120, 60, 60]
    assert "day" not in [column.name for column in source.signature.inputs]
    assert any("split by 'day' in time: train 50.0%" in note for note in source.notes)


def test_numbers_are_times_too_and_are_sorted_as_numbers(tmp_path: Path) -> None:
    path = tmp_path / "steps.csv"
    order = generator(0, "steps").permutation(40)
    path.write_text("t,x,y\n" + "".join(f"{t},{t % 7}.5,{'ab'[t % 2]}\n" for t in order))
    source = _build("table", {"path": str(path), "target": "y", "split": {"by": "time", "column": "t"}})
    assert sorted(order[source.splits.test]) == list(range(34, 40))  # as texts 9 would be the latest


def test_day_first_dates(tmp_path: Path) -> None:
    path = tmp_path / "days.csv"
    rows = [f"{1 + t // 12:02}/{1 + t % 12:02}/2024,{t % 7}.5,{'ab'[t % 2]}" for t in range(48)]
    path.write_text("\n".join(["day,x,y", *rows]))
    source = _build("table", {"path": str(path), "target": "y", "split": {"by": "time", "column": "day"}})
    months = np.array([t % 12 for t in range(48)])
    assert months[source.splits.train].max() < months[source.splits.test].min()
    assert source.resolved()["date_order"] == "dmy"
    assert any("day first" in note for note in source.notes)
    other = {"path": str(path), "target": "y", "split": {"by": "time", "column": "day"}, "date_order": "mdy"}
    assert _build("table", other).splits != source.splits


def test_the_column_is_an_input_when_the_recipe_says_so(visits: Path) -> None:
    params = {"path": str(visits), "target": "ill", "split": {"by": "time", "column": "day"}}
    asked = _build("table", {**params, "columns": {"day": "date"}})
    assert "day" in [column.name for column in asked.signature.inputs]
    assert asked.splits == _build("table", params).splits


def test_the_resolved_recipe_makes_the_same_data(visits: Path) -> None:
    for rule in ({"by": "group", "column": "patient"}, {"by": "time", "column": "day"}):
        source = _build("table", {"path": str(visits), "target": "ill", "split": rule, "select": {"keep": 1}})
        again = _build("table", source.resolved())
        assert again.signature == source.signature and again.splits == source.splits
        assert again.resolved() == source.resolved()


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"by": "group", "column": "patiant"}, r"visits\.csv: no column 'patiant' \(did you mean 'patient'\?\)"),
        ({"by": "group", "column": "ill"}, "'ill' is the target; name another column"),
        ({"by": "time", "column": "patient"}, r"visits\.csv:2: column 'patient' is date in this recipe but holds 'p"),
        ({"by": "group", "column": "patient", "shares": [0.5, 0.2, 0.2]}, "sum to 1"),
        ({"by": "group", "column": "day", "shares": [0.98, 0.01, 0.01]}, None),
    ],
)
def test_rules_that_do_not_fit(visits: Path, rule: dict[str, Any], message: str | None) -> None:
    params = {"path": str(visits), "target": "ill", "split": rule}
    if message is None:
        assert len(_build("table", params).splits.test) == 2  # one whole day, though a hundredth is less
        return
    with pytest.raises(DataError, match=message):
        _build("table", params)


def test_blanks_are_named(visits: Path) -> None:
    text = visits.read_text().splitlines()
    text[4] = "," + text[4].partition(",")[2]
    visits.write_text("\n".join(text) + "\n")
    with pytest.raises(DataError, match=r"visits\.csv:5: no value in column 'patient'"):
        _build("table", {"path": str(visits), "target": "ill", "split": {"by": "group", "column": "patient"}})


def _recipe(visits: Path, split: str) -> Recipe:
    return Recipe.parse(
        f"{{name: v, data: {{name: table, path: '{visits}', target: ill, split: {split}}}, "
        "model: {name: mlp}, task: {name: classification}}"
    )


def test_recipes_say_what_is_wrong_with_a_rule(visits: Path) -> None:
    recipe = _recipe(visits, "{by: group, column: patient}")
    assert recipe.data.params["split"] == {"by": "group", "column": "patient", "shares": None}
    assert Recipe.parse(json.dumps(recipe.to_dict())).to_dict() == recipe.to_dict()
    for split, message in {
        "{by: groups, column: patient}": r"data\.split\.by: Input should be 'group' or 'time'",
        "{by: group}": r"data\.split\.column: is required",
        "{by: group, colum: patient}": r"data\.split\.colum: unknown key \(did you mean",
        "[0.7, 0.3]": r"data\.split\.2: is required",
        "group": r"data\.split: Input should be",
    }.items():
        with pytest.raises(RecipeError, match=message):
            _recipe(visits, split)


def _picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(generator(seed, "picture").integers(0, 256, (6, 6), dtype=np.uint8)).save(path)


def test_images_are_grouped_by_their_paths(tmp_path: Path) -> None:
    for n in range(60):
        _picture(tmp_path / "ab"[n % 2] / f"patient{n // 4:02}_{n}.png", n)
    params = {"path": str(tmp_path), "split": {"by": "group", "pattern": "(patient[0-9]+)_[0-9]+"}}
    source = _build("image-folder", params)
    parts = []
    for name in ("train", "val", "test"):
        paths = source.raw(name, np.arange(len(source.split(name))))
        parts.append({Path(path).name.split("_")[0] for path in paths})
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    assert [len(part) for part in parts] in ([11, 2, 2], [12, 2, 1], [12, 1, 2])
    assert any("15 groups" in note for note in source.notes)
    for pattern, message in (("(", "no regular expression"), ("subject", "finds nothing in this path")):
        with pytest.raises(DataError, match=message):
            _build("image-folder", {"path": str(tmp_path), "split": {"by": "group", "pattern": pattern}})


def test_a_table_of_images_is_split_by_its_columns(tmp_path: Path) -> None:
    rows = []
    for n in range(60):
        _picture(tmp_path / f"{n}.png", n)
        rows.append([f"{n}.png", f"s{n // 5}", f"2024-02-{1 + n % 28:02}", "ab"[n % 2]])
    path = tmp_path / "scans.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["image", "subject", "day", "sick"], *rows])
    by_group = _build(
        "image-table", {"path": str(path), "targets": ["sick"], "split": {"by": "group", "column": "subject"}}
    )
    subjects = _cells(path, "subject")
    parts = [set(subjects[by_group.splits[name]]) for name in ("train", "val", "test")]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    by_time = _build("image-table", {"path": str(path), "targets": ["sick"], "split": {"by": "time", "column": "day"}})
    days = _cells(path, "day")
    assert max(days[by_time.splits.train]) < min(days[by_time.splits.val])
    with pytest.raises(DataError, match="no column 'subjet'"):
        _build("image-table", {"path": str(path), "targets": ["sick"], "split": {"by": "group", "column": "subjet"}})
