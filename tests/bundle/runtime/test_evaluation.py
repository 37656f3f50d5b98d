"""Scores of a bundle on labelled rows equal the metrics of its own predictions."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import lamplighter as lamp
from lamplighter.bundle.runtime.evaluation import evaluate_file
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
    for name, expected in regression.metrics(value, y).items():
        assert scores[name].value == pytest.approx(expected, rel=1e-5)
        assert scores[name].n == 300


def test_without_answers_there_is_nothing_to_score(folder: Path, tmp_path: Path) -> None:
    bundle = lamp.load_bundle(folder / "run" / "bundle")
    (tmp_path / "blind.csv").write_text("a,b\n1.5,2.5\n")
    with pytest.raises(DataError, match="no column 'z'"):
        evaluate_file(bundle, tmp_path / "blind.csv", progress=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no labelled rows"):
        evaluate_file(bundle, tmp_path / "empty", progress=False)
