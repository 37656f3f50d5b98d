"""Recipes written from data: valid, true to the data, and buildable."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn import datasets

from lamplighter.core import registry
from lamplighter.core.errors import DataError
from lamplighter.core.recipe import Data, Recipe
from lamplighter.data.inspect import describe


def _write(path: Path, head: list[str], rows: list[list[Any]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return path


def _source(recipe: Recipe) -> Any:
    params = {key: value for key, value in recipe.data.params.items() if key not in Data.model_fields}
    return registry.build("source", recipe.data.name, params, {"seed": recipe.seed, "splits": None})


@pytest.mark.parametrize(
    ("load", "task", "metric"),
    [
        (datasets.load_wine, "classification", "accuracy"),
        (datasets.load_breast_cancer, "classification", "accuracy"),
        (datasets.load_diabetes, "regression", "rmse"),
    ],
)
def test_real_tables(tmp_path: Path, load: Callable[[], Any], task: str, metric: str) -> None:
    data = load()
    rows = [[*row, label] for row, label in zip(data.data.tolist(), data.target.tolist())]
    path = _write(tmp_path / "my table.csv", [*data.feature_names, "target"], rows)
    text = describe(path, "target")
    recipe = Recipe.parse(text)
    assert (recipe.name, recipe.task.name, recipe.model.name) == ("my-table", task, "mlp")
    assert recipe.train.monitor is not None
    assert recipe.train.monitor.metric == metric
    source = _source(recipe)
    assert set(recipe.data.params["columns"]) == set(data.feature_names)
    assert {**recipe.data.params, **source.resolved()} == {**recipe.data.params, "infer_columns": False}
    model = registry.build("model", recipe.model.name, recipe.model.params, source.signature.facts())
    width = len(source.signature.labels) or 1
    assert model(source.split("val").fetch(np.arange(3))["x"]).shape == (3, width)


def test_comments_tell_what_is_in_the_columns(tmp_path: Path) -> None:
    rows = [
        [
            n,
            f"{n * 0.5}" if n % 5 else "",
            "ab"[n % 2],
            ["yes", "no", "no"][n % 3],
            f"{1 + n % 28:02}.03.2024",
            7,
            f"{n}.25",
        ]
        for n in range(60)
    ]
    path = _write(tmp_path / "data.csv", ["id", "width", "kind", "sold", "day", "one", "price"], rows)
    text = describe(path, "price")
    assert "target: price  # 0.25 to 59.25, median 29.75\n" in text
    assert "    id: ignore  # it numbers the rows\n" in text
    assert "    width: numeric  # 0.5 to 29.5, median 15; 12 missing\n" in text
    assert "    kind: category  # 2 values: a (30), b (30)\n" in text
    assert "    sold: boolean  # true in 33%\n" in text
    assert "    day: date  # 2024-03-01 to 2024-03-28\n" in text
    assert "    one: ignore  # it has the single value '7'\n" in text
    assert "  date_order: dmy  # day first" in text


def test_blank_targets_are_left_out_and_counted(tmp_path: Path) -> None:
    path = _write(tmp_path / "data.csv", ["x", "y"], [[n * 0.5, "" if n % 4 == 0 else "ab"[n % 2]] for n in range(40)])
    text = describe(path, "y")
    assert "drop_blank_targets: true  # 10 rows have no target" in text
    assert len(_source(Recipe.parse(text)).splits.train) == 21
    assert "metric: balanced_accuracy" not in text  # 20 to 10 is not yet uneven


def test_uneven_classes_are_judged_class_by_class(tmp_path: Path) -> None:
    rows = [[n * 0.5, "rare" if n % 10 == 0 else "ab"[n % 2 == 0 and n % 20 == 2]] for n in range(100)]
    assert "metric: balanced_accuracy" in describe(_write(tmp_path / "data.csv", ["x", "y"], rows), "y")


NAMES = [
    "a: b",
    "# c",
    "yes",
    "12",
    "it's",
    "naïve",
    " - x",
    "1e3",
    "~",
    'say "hi"',
    "back\\slash",
    "[1]",
    "{k",
    "a,b",
    "x" * 300,
]


@pytest.mark.parametrize(
    "name", [*NAMES, "two\nlines", "tab\there", "price (€)", "ok_name", "null", "&a", "*a", "!t", "%", "?"]
)
def test_any_column_name_survives(tmp_path: Path, name: str) -> None:
    rows = [[n * 0.5, f"{n % 3}: # '\n", n * 1.5] for n in range(40)]
    path = _write(tmp_path / "data.csv", [name, "other", "y"], rows)
    recipe = Recipe.parse(describe(path, "y"))
    assert recipe.data.params["columns"] == {name.strip(): "numeric", "other": "category"}
    assert Recipe.parse(describe(path, name.strip())).data.params["target"] == name.strip()
    _source(recipe)


def test_a_table_needs_a_target(tmp_path: Path) -> None:
    path = _write(tmp_path / "data.csv", ["x", "y"], [[n * 0.5, "ab"[n % 2]] for n in range(40)])
    with pytest.raises(DataError, match="say which column to predict: --target NAME; columns: x, y"):
        describe(path)
    with pytest.raises(DataError, match=r"no column 'z'"):
        describe(path, "z")
    with pytest.raises(DataError, match="no such file"):
        describe(tmp_path / "absent.csv", "y")


def test_awkward_dialects_are_written_down(tmp_path: Path) -> None:
    path = tmp_path / "Häuser 1.csv"
    path.write_bytes("\n".join(["fläche;preis", *[f"{n},5;{n * 7 % 40}.000,5" for n in range(1, 40)]]).encode("cp1252"))
    recipe = Recipe.parse(describe(path, "preis"))
    assert recipe.name == "H-user-1"
    params = recipe.data.params
    assert (params["delimiter"], params["encoding"], params["decimal"]) == (";", "cp1252", ",")
    _source(recipe)


@pytest.mark.parametrize(("size", "mode", "stages"), [((12, 8), "L", 1), ((32, 32), "RGB", 2), ((40, 100), "RGB", 4)])
def test_a_folder_of_images(tmp_path: Path, size: tuple[int, int], mode: str, stages: int) -> None:
    folder = tmp_path / "pets"
    rng = np.random.default_rng(0)
    for n in range(24):
        (folder / "cat: 1").mkdir(parents=True, exist_ok=True)
        (folder / "dog").mkdir(exist_ok=True)
        shape = size if mode == "L" else (*size, 3)
        Image.fromarray(rng.integers(0, 255, shape, dtype=np.uint8)).save(
            folder / ("dog" if n % 3 else "cat: 1") / f"{n}.png"
        )
    text = describe(folder)
    recipe = Recipe.parse(text)
    assert "24 images in 2 classes: dog (16), cat: 1 (8)" in text
    assert (recipe.data.name, recipe.model.name, recipe.model.params["stages"]) == ("image-folder", "cnn", stages)
    assert recipe.data.params["size"] == list(size)
    assert [augment.name for augment in recipe.augment] == ["random-shift"]
    source = _source(recipe)
    model = registry.build("model", "cnn", recipe.model.params, source.signature.facts())
    assert model(source.split("train").fetch(np.arange(2))["x"]).shape == (2, 2)
    with pytest.raises(DataError, match="takes no target"):
        describe(folder, "label")


def test_epochs_follow_the_size(tmp_path: Path) -> None:
    def epochs(rows: int) -> int:
        path = _write(tmp_path / "data.csv", ["x", "y"], [[n * 0.5, "ab"[n % 2]] for n in range(rows)])
        return int(re.findall(r"epochs: (\d+)", describe(path, "y"))[0])

    assert epochs(100) == 100
    assert epochs(100_000) < epochs(10_000) < 100


def test_a_marker_among_numbers_becomes_missing(tmp_path: Path) -> None:
    rows = [["k.A." if n % 60 == 7 else n * 0.5, "k.A." if n == 9 else n * 0.25, "ab"[n % 2]] for n in range(400)]
    path = _write(tmp_path / "data.csv", ["width", "height", "y"], rows)
    text = describe(path, "y")
    assert '  missing: ["k.A."]  # 7 cells in column width, 1 cell in column height\n' in text
    assert "    width: numeric  # 0 to 199.5, median 100; 7 missing\n" in text
    source = _source(Recipe.parse(text))
    assert source.preprocessing([{"width": "k.A.", "height": 3}])["x"].shape == (1, 4)


def test_markers_of_the_target_and_in_most_rows(tmp_path: Path) -> None:
    rows = [["none" if n % 3 == 0 else n * 0.5, "t.b.d." if n % 10 == 0 else n * 1.5] for n in range(300)]
    text = describe(_write(tmp_path / "data.csv", ["x", "y"], rows), "y")
    assert '  missing: ["none", "t.b.d."]  # none: 100 cells in column x; t.b.d.: 30 cells in column y\n' in text
    assert "drop_blank_targets: true  # 30 rows" in text
    assert "    x: numeric" in text
    _source(Recipe.parse(text))


def test_many_typing_errors_cost_a_column_not_the_recipe(tmp_path: Path) -> None:
    rows = [[f"{n}x" if n % 50 == 0 else n * 0.5, n * 0.25, "ab"[n % 2]] for n in range(400)]
    text = describe(_write(tmp_path / "data.csv", ["x", "z", "y"], rows), "y")
    assert "    x: ignore  # data.csv:2: column 'x' holds numbers in 392 of 400 rows but here '0x'; correct" in text
    _source(Recipe.parse(text))


def test_a_saved_index_is_left_out(tmp_path: Path) -> None:
    path = _write(tmp_path / "data.csv", ["", "x", "y"], [[n, n % 7 * 0.5, "ab"[n % 2]] for n in range(40)])
    text = describe(path, "y")
    assert "  # the first column has no name and numbers the rows: it is left out\n" in text
    source = _source(Recipe.parse(text))
    assert [column.name for column in source.signature.inputs] == ["x"]
    assert "no name" not in describe(
        _write(tmp_path / "plain.csv", ["x", "y"], [[n * 0.5, n % 2] for n in range(40)]), "y"
    )


def test_training_stops_early(tmp_path: Path) -> None:
    path = _write(tmp_path / "data.csv", ["x", "y"], [[n * 0.5, "ab"[n % 2]] for n in range(100)])
    train = Recipe.parse(describe(path, "y")).train
    assert [callback.name for callback in train.callbacks] == ["early-stopping"]
    assert train.callbacks[0].params["patience"] == train.epochs // 4
    registry.build("callback", "early-stopping", train.callbacks[0].params, {})


@pytest.mark.parametrize(("target", "task"), [("ink", "regression"), ("kind", "classification")])
def test_a_table_of_images(tmp_path: Path, target: str, task: str) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for n in range(30):
        pixels = rng.integers(0, 255, (12, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{n}.png")
        rows.append([f"{n}.png", "" if n == 4 else f"{pixels.mean():.3f}", "" if n == 4 else "ab"[n % 2]])
    path = _write(tmp_path / "imgtab.csv", ["file", "ink", "kind"], rows)
    text = describe(path, target)
    recipe = Recipe.parse(text)
    assert (recipe.data.name, recipe.model.name, recipe.task.name) == ("image-table", "cnn", task)
    assert {key: recipe.data.params[key] for key in ("image", "targets", "size", "channels")} == {
        "image": "file",
        "targets": [target],
        "size": [12, 8],
        "channels": 1,
    }
    assert "# 1 of 30 rows have no" in text
    assert "# not used, since the image alone is the input: " + {"ink": "kind", "kind": "ink"}[target] in text
    source = _source(recipe)
    assert source.resolved().items() <= recipe.data.params.items()
    model = registry.build("model", "cnn", recipe.model.params, source.signature.facts())
    assert len(model(source.split("train").fetch(np.arange(2))["x"])) == 2


def test_names_of_images_that_are_nowhere_are_words(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "data.csv", ["file", "x", "y"], [[f"{n % 3}.png", n * 0.5, "ab"[n % 2]] for n in range(40)]
    )
    assert Recipe.parse(describe(path, "y")).data.name == "table"


def _opinions(n: int) -> list[list[str]]:
    words = ["a", "film", "that", "is", "seen", "by", "people", "who", "like", "long", "and", "quiet", "scenes"]
    return [
        [" ".join(words[i % 5 : 5 + i % 8]) + f" {i} times", ["good", "bad"][i % 2], str(i % 5), "2024-01-01"]
        for i in range(n)
    ]


def test_a_table_of_texts(tmp_path: Path) -> None:
    path = _write(tmp_path / "films.csv", ["review", "mood", "stars", "day"], _opinions(60))
    text = describe(path, "mood")
    recipe = Recipe.parse(text)
    assert (recipe.data.name, recipe.task.name, recipe.model.name) == ("text-table", "text-classification", "textcnn")
    assert "text: review  # 60 texts of" in text and "not used, since the text alone is the input: stars, day" in text
    source = _source(recipe)
    model = registry.build("model", recipe.model.name, recipe.model.params, source.signature.facts())
    batch = source.split("val").fetch(np.arange(3))
    assert model(batch["input_ids"], batch["attention_mask"]).shape == (3, 2)


def test_free_text_beside_usable_columns_is_no_reason(tmp_path: Path) -> None:
    """Unless the column is named as one: the other columns may say more."""
    path = _write(tmp_path / "films.csv", ["remarks", "mood", "stars", "day"], _opinions(60))
    assert Recipe.parse(describe(path, "mood")).data.name == "table"
    rows = [[row[0], row[1]] for row in _opinions(60)]
    alone = _write(tmp_path / "alone.csv", ["remarks", "mood"], rows)
    assert Recipe.parse(describe(alone, "mood")).data.name == "text-table"
    numbers = _write(
        tmp_path / "numbers.csv", ["review", "price"], [[row[0], f"{i}.25"] for i, row in enumerate(_opinions(60))]
    )
    with pytest.raises(DataError, match="no column is left"):
        describe(numbers, "price")


def test_blank_texts_of_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "films.jsonl"
    lines = [{"text": row[0] if i % 9 else "", "mood": row[1]} for i, row in enumerate(_opinions(60))]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = describe(str(path), "mood")
    assert "drop_blank_texts: true  # 7 rows have no text" in text
    _source(Recipe.parse(text))


def test_a_folder_of_texts(tmp_path: Path) -> None:
    for i, row in enumerate(_opinions(40)):
        (tmp_path / row[1]).mkdir(exist_ok=True)
        (tmp_path / row[1] / f"{i}.txt").write_text(row[0])
    text = describe(str(tmp_path))
    assert "40 text files in 2 classes" in text
    recipe = Recipe.parse(text)
    assert len(_source(recipe).split("train")) == 32


def test_a_folder_of_images_and_masks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for i in range(20):
        height, width = 300 + i % 2, 280
        Image.fromarray(rng.integers(0, 256, (height, width), dtype=np.uint8)).save(tmp_path / "images" / f"{i}.png")
        mask = rng.choice(np.array([0, 1, 1, 1, 255], np.uint8), (height, width))
        Image.fromarray(mask).save(tmp_path / "masks" / f"{i}.png")
    (tmp_path / "classes.txt").write_text("ground\nno\n")
    text = describe(tmp_path)
    recipe = Recipe.parse(text)
    assert (recipe.data.name, recipe.model.name, recipe.task.name) == ("mask-folder", "unet", "segmentation")
    assert recipe.task.params["tile"] == 256 and recipe.augment[0].name == "random-crop"
    source = _source(recipe)
    assert source.signature.labels == ("ground", "no") and "ground 25.0%" in text.replace("24.9%", "25.0%")
    assert source.resolved()["size"] == recipe.data.params["size"] == "original"
    assert source.resolved()["ignore_index"] == recipe.data.params["ignore_index"] == 255
