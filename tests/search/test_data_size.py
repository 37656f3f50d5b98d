"""Learning curves by data size: which rows train, what is read off, and the page. (`data_size_report`.)"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from lamplighter.cli.app import app
from lamplighter.core.errors import DataError
from lamplighter.core.recipe import Recipe
from lamplighter.run import Run, build_source
from lamplighter.search import data_size_report, learning_curve
from lamplighter.search.data_size import LearningCurve, Point

Make = Callable[..., Recipe]


def test_larger_sets_hold_the_smaller_ones_and_all_are_judged_alike(
    moons: Make, fetched: set[int], tmp_path: Path
) -> None:
    recipe = moons()
    own = build_source(recipe).splits
    curve = learning_curve(recipe, [144, 36, 72], 2, out=tmp_path / "study", progress=False)
    assert not fetched & set(own.test.tolist()), "the test split stays shut"
    assert [point.rows for point in curve.points] == [36, 72, 144]
    for repeat in (1, 2):
        smaller: set[int] = set()
        for point in curve.points:
            run = Run(curve.path / f"rows-{point.rows}-{repeat}")
            splits = run.source().splits
            rows = {*splits.train.tolist(), *splits.val.tolist()}
            assert len(rows) == point.rows and smaller <= rows <= set(own.train.tolist())
            np.testing.assert_array_equal(splits.test, np.sort(own.val))
            assert run.recipe.train.epochs == 2 * 144 // point.rows, "as many steps for each"
            smaller = rows
            for split, values in (("train", point.train), ("test", point.val)):
                task, outputs, _ = run.answers(split, again=True)
                assert values[repeat - 1] == task.metrics(outputs)["accuracy"]
    assert (curve.metric, curve.mode, curve.held_out) == ("accuracy", "max", len(own.val))
    assert json.loads((curve.path / "learning-curve.json").read_text()) == json.loads(json.dumps(curve.to_dict()))
    page = (curve.path / "report.html").read_text()
    assert "Would more rows help?" in page and "2 times each" in page and f"{np.mean(curve.points[0].val):.4f}" in page


def test_by_default_sizes_are_shares_of_the_rows(moons: Make, tmp_path: Path) -> None:
    curve = learning_curve(moons(**{"train.epochs": 1}), out=tmp_path / "study", progress=False)
    assert [point.rows for point in curve.points] == [14, 29, 58, 101, 144]
    assert all(len(point.val) == 1 and point.error > 0 for point in curve.points)
    again = learning_curve(moons(**{"train.epochs": 1}), out=tmp_path / "study", resume=True, progress=False)
    assert again == curve


def curve_of(train: list[float], val: list[float], mode: str = "max", error: float = 0.01) -> LearningCurve:
    points = tuple(Point(100 * 2**i, (t,), (v,), error) for i, (t, v) in enumerate(zip(train, val)))
    return LearningCurve(Path(), Recipe.parse("{name: x, data: {name: digits}, model: {name: mlp}, "
                         "task: {name: classification}}"), "accuracy", mode, points, 500)  # fmt: skip


@pytest.mark.parametrize(
    ("train", "val", "mode", "words"),
    [
        ([0.99, 0.99], [0.80, 0.85], "max", "still gets better (+0.05 ± 0.028 from 100 to 200 rows): more rows"),
        ([0.99, 0.99], [0.85, 0.86], "max", "clearly better (+0.01 ± 0.028 from 100 to 200 rows) and is 0.13 worse"),
        ([0.87, 0.87], [0.85, 0.86], "max", "is as good as on the rows trained on"),
        ([0.01, 0.01], [0.50, 0.40], "min", "still gets better (+0.1 ± 0.028"),
        ([0.01, 0.01], [0.40, 0.41], "min", "(-0.01 ± 0.028 from 100 to 200 rows) and is 0.4 worse"),
    ],
)  # fmt: skip
def test_reading(train: list[float], val: list[float], mode: str, words: str) -> None:
    assert words in curve_of(train, val, mode).reading


def test_one_size_makes_no_curve_but_a_page() -> None:
    curve = curve_of([0.9], [0.8])
    assert curve.reading == "one size makes no curve"
    assert str(data_size_report.chart(curve)).startswith("<svg")


@pytest.mark.parametrize(("sizes", "repeats"), [([1, 50], 1), ([50, 145], 1), ([50], 0)])
def test_sizes_that_cannot_be_are_refused(sizes: list[int], repeats: int, moons: Make, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the training split has 144 rows"):
        learning_curve(moons(), sizes, repeats, out=tmp_path / "study", progress=False)
    assert not (tmp_path / "study").exists()


def test_from_the_command_line(moons: Make, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    moons(**{"train.epochs": 1}).save(recipe)
    common: list[Any] = ["study", "learning-curve", str(recipe), "--quiet", "--out", str(tmp_path / "study")]
    result = CliRunner().invoke(app, [*common, "--sizes", "50,144"])
    assert result.exit_code == 0, result.output
    assert "accuracy on 48 validation rows:" in result.output and "144 rows  train" in result.output
    assert (tmp_path / "study" / "report.html").is_file()
    bad = CliRunner().invoke(app, [*common, "--sizes", "fifty"])
    assert bad.exit_code != 0 and "write whole numbers with commas" in str(bad.exception)
