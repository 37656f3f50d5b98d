"""Scores of a bundle on labelled rows equal the metrics of its own predictions."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lamplighter as lamp
from lamplighter.bundle.runtime import Bundle
from lamplighter.bundle.runtime.evaluation import evaluate_file
from lamplighter.bundle.runtime.files import predict_file
from lamplighter.core.errors import DataError
from lamplighter.core.recipe import Recipe
from lamplighter.metrics import regression

RECIPE = """
name: plane
threads: 1
data: {{name: table, path: {path}, target: z, batch_size: 32}}
model: {{name: mlp, hidden: [16]}}
task: {{name: regression}}
train: {{epochs: 4, precision: fp32}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluation")
    rng = np.random.default_rng(0)
    with (folder / "plane.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "z"])
        for a, b in rng.normal(size=(300, 2)).round(3):
            writer.writerow([a, b, round(float(3 * a - b + rng.normal() / 10), 3)])
    lamp.fit(Recipe.parse(RECIPE.format(path=folder / "plane.csv")), out=folder / "run", progress=False).export()
    return folder


def test_scores_are_the_metrics_of_the_predictions(folder: Path) -> None:
    bundle = lamp.load_bundle(folder / "run" / "bundle")
    with (folder / "plane.csv").open(newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    y = np.array([row.pop("z") for row in rows])
    value = np.array([answer["value"] for answer in bundle.predict(rows)])
    scores = evaluate_file(bundle, folder / "plane.csv", progress=False)
    expected_scores = regression.metrics(value, y)
    assert set(scores) == {"mae", "rmse", "r2", "mape"} == set(expected_scores) - {"loss"}
    for name in scores:
        expected = expected_scores[name]
        assert scores[name].value == pytest.approx(expected, rel=1e-5)
        assert scores[name].n == 300


def test_without_answers_there_is_nothing_to_score(folder: Path, tmp_path: Path) -> None:
    bundle = lamp.load_bundle(folder / "run" / "bundle")
    (tmp_path / "blind.csv").write_text("a,b\n1.5,2.5\n")
    with pytest.raises(DataError, match="no column 'z'"):
        evaluate_file(bundle, tmp_path / "blind.csv", progress=False)


def test_every_image_of_a_folder_is_scored(digits_bundle: Bundle, digits: Any, tmp_path: Path) -> None:
    pixels = digits.raw("test", np.array([0]))[0]
    (tmp_path / "3" / "deeper").mkdir(parents=True)
    images = {
        ".png": "PNG",
        ".apng": "PNG",
        ".JPG": "JPEG",
        ".jpeg": "JPEG",
        ".jfif": "JPEG",
        ".jpe": "JPEG",
        ".tif": "TIFF",
        ".tiff": "TIFF",
        ".webp": "WEBP",
        ".bmp": "BMP",
        ".gif": "GIF",
    }
    for suffix, format in images.items():
        Image.fromarray(pixels).save(tmp_path / "3" / f"x{suffix}", format=format)
    (tmp_path / "3" / "notes.txt").write_text("no image")
    (tmp_path / "3" / "folder.png").mkdir()
    assert evaluate_file(digits_bundle, tmp_path, progress=False)["accuracy"].n == len(images)


GERMAN = """
name: plane
threads: 1
data: {{name: table, path: {path}, target: z, batch_size: 32, missing: ["-999,00"]}}
model: {{name: mlp, hidden: [16]}}
task: {{name: regression}}
train: {{epochs: 1, precision: fp32}}
"""


@pytest.fixture(scope="module")
def german(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a table with decimal commas and a marker of its own."""
    folder = tmp_path_factory.mktemp("german")
    rng = np.random.default_rng(0)
    lines = ["a;b;z"]
    for i, (a, b) in enumerate(rng.normal(1500, 300, size=(120, 2))):
        cells = [f"{a:.1f}" if i % 10 else "-999.00", f"{b:.1f}", f"{3 * a - b:.1f}"]
        lines.append(";".join(cells).replace(".", ","))
    (folder / "plane.csv").write_text("\n".join(lines) + "\n")
    lamp.fit(Recipe.parse(GERMAN.format(path=folder / "plane.csv")), out=folder / "run", progress=False).export()
    return folder


def predicted(bundle: Bundle, path: Path) -> list[float]:
    predict_file(bundle, path, path.with_name("out.csv"), progress=False)
    with path.with_name("out.csv").open(newline="") as file:
        return [float(row["value"]) for row in csv.DictReader(file)]


def test_a_file_that_proves_no_decimal_sign_is_read_as_the_training_table(german: Path, tmp_path: Path) -> None:
    bundle = lamp.load_bundle(german / "run" / "bundle")
    path = tmp_path / "thousands.csv"
    path.write_text("a;b;z\n1.234;1.500;2.202\n1.100;1.600;1.700\n")
    value = [answer["value"] for answer in bundle.predict([{"a": 1234, "b": 1500}, {"a": 1100, "b": 1600}])]
    assert predicted(bundle, path) == value
    scores = evaluate_file(bundle, path, progress=False)
    assert scores["mae"].value == pytest.approx(np.abs(np.array(value) - [2202, 1700]).mean())


def test_markers_of_the_training_table_are_missing_values(german: Path, tmp_path: Path) -> None:
    bundle = lamp.load_bundle(german / "run" / "bundle")
    path = tmp_path / "marked.csv"
    path.write_text("a;b;z\n-999,00;1600,5;2400\n")
    value = [answer["value"] for answer in bundle.predict([{"a": None, "b": 1600.5}])]
    assert predicted(bundle, path) == value
    assert evaluate_file(bundle, path, progress=False)["mae"].value == pytest.approx(abs(value[0] - 2400))


def test_a_file_that_proves_its_decimal_sign_is_read_as_it_is_written(german: Path, tmp_path: Path) -> None:
    bundle = lamp.load_bundle(german / "run" / "bundle")
    (tmp_path / "english.csv").write_text("a,b\n1234.5,1500\n")
    assert predicted(bundle, tmp_path / "english.csv") == [bundle.predict([{"a": 1234.5, "b": 1500}])[0]["value"]]


def test_a_bad_row_is_named_by_file_and_number(folder: Path, tmp_path: Path) -> None:
    bundle = lamp.load_bundle(folder / "run" / "bundle")
    rows = [f"{i / 10},{i / 5},1.0" for i in range(600)]
    rows[500] = ",0.5,1.0"
    (tmp_path / "hole.csv").write_text("a,b,z\n" + "\n".join(rows) + "\n")
    with pytest.raises(DataError, match=r"hole.csv, row 501: column 'a'"):
        evaluate_file(bundle, tmp_path / "hole.csv", progress=False)


def test_a_folder_is_no_table(folder: Path, tmp_path: Path) -> None:
    bundle = lamp.load_bundle(folder / "run" / "bundle")
    with pytest.raises(DataError, match="this is a folder"):
        evaluate_file(bundle, tmp_path, progress=False)
