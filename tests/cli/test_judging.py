"""``lamp evaluate --by``, ``--metric`` and ``--against``: of runs, of bundles, and what they refuse."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamplighter.__main__ import main
from lamplighter.core.recipe import Recipe
from lamplighter.run import Run, fit

RECIPE = """
name: shop
threads: 1
data: {{name: table, path: {path}, target: {target}, batch_size: 64, columns: {{member: boolean}}, split_seed: 0}}
model: {{name: mlp, hidden: [{hidden}]}}
task: {{name: {task}}}
train: {{epochs: {epochs}, precision: fp32, optimizer: {{name: adamw, lr: 0.02}}}}
"""


def lamp(*words: str) -> int:
    try:
        main(list(words))
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert lamp("evaluate", *words) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert lamp("evaluate", *words) == 2
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of the region "south" have a label drawn by lot; a second model learns nothing."""
    folder = tmp_path_factory.mktemp("judging")
    rng = np.random.default_rng(0)
    with (folder / "shop.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "region", "member", "kind", "price", "ticket"])
        for i in range(900):
            a, b = rng.normal(size=2)
            region = ("north", "south", "west")[i % 3]
            kind = a > 0 if region != "south" else rng.random() < 0.5
            cells = [round(a, 3), round(b, 3), region, ("yes", "no")[i % 2], "x" if kind else "y"]
            writer.writerow([*cells, round(10 + 3 * a, 2), i])
    for name, target, task, hidden, epochs in (
        ("run", "kind", "classification", 8, 8),
        ("other", "kind", "classification", 1, 1),
        ("prices", "price", "regression", 8, 4),
    ):
        text = RECIPE.format(path=folder / "shop.csv", target=target, task=task, hidden=hidden, epochs=epochs)
        ignored = "price: ignore" if target == "kind" else "kind: ignore"
        text = text.replace("member: boolean", f"member: boolean, {ignored}, ticket: ignore")
        fit(Recipe.parse(text), folder / name, progress=False).export()
    return folder


def test_slices_of_a_run_name_the_one_that_is_worse(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, str(folder / "run"), "--by", "region")
    first, south, *others = text.splitlines()
    assert first.startswith("accuracy on the validation split") and first.endswith("by region:")
    assert "south" in south and "worse than the rest (p 0.00" in south
    assert len(others) == 2 and not any("worse" in line for line in others)
    assert sum(record.get("event") == "test_opened" for record in Run(folder / "run").history) == 1


def test_the_same_as_json_with_several_columns_and_another_metric(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(
        capsys, str(folder / "run"), "--by", "region", "--by", "a", "--by", "member", "--metric", "log_loss", "--json"
    )
    found: list[dict[str, Any]] = json.loads(text)
    assert {each["metric"] for each in found} == {"log_loss"}
    columns = {column: [each for each in found if each["column"] == column] for column in ("region", "a", "member")}
    assert [len(each) for each in columns.values()] == [3, 4, 2]
    assert {each["value"] for each in columns["member"]} == {"yes", "no"}
    assert sum(each["score"]["n"] for each in columns["a"]) == len(Run(folder / "run").source().split("val"))
    assert found[0]["value"] == "south" and found[0]["worse"] and found[0]["score"]["value"] > found[0]["rest"]


def test_slices_of_a_bundle_on_a_file_by_a_column_that_the_model_does_not_take(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, data = str(folder / "run" / "bundle"), str(folder / "shop.csv")
    text = said(capsys, bundle, "--data", data, "--by", "ticket", "-q")
    assert "below 225" in text and "675 and above" in text and text.count("n = 225") == 4
    text = said(capsys, bundle, "--data", data, "--by", "region", "--metric", "{name: f_beta, beta: 2}", "-q")
    assert text.startswith("f2_macro on ") and "worse" in text.splitlines()[1]


def test_any_metric_of_the_catalog(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, str(folder / "run"), "--metric", "cohen_kappa", "--metric", "{name: ece, bins: 5}", "--json")
    found = json.loads(text)
    assert list(found) == ["kappa", "ece"] and found["kappa"]["low"] < found["kappa"]["value"] < found["kappa"]["high"]
    text = said(capsys, str(folder / "prices"), "--split", "train", "--metric", "median_absolute_error")
    assert text.startswith("Scores on the training split:")


def test_two_models_on_the_same_rows(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, str(folder / "run"), "--against", str(folder / "other"), "--json")
    found = json.loads(text)
    assert list(found) == ["accuracy", "f1_macro", "log_loss"]
    accuracy = found["accuracy"]
    assert accuracy["difference"] == pytest.approx(accuracy["first"] - accuracy["second"])
    assert 0 < accuracy["low"] < accuracy["difference"] and accuracy["p_value"] < 0.05
    assert found["log_loss"]["difference"] < 0
    bundles = [str(folder / name / "bundle") for name in ("run", "other")]
    text = said(capsys, bundles[0], "--against", bundles[1], "--data", str(folder / "shop.csv"), "-q")
    assert "accuracy" in text and "n = 900" in text and "p 0.00" in text


def test_what_does_not_fit_is_refused(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run, bundle = str(folder / "run"), str(folder / "run" / "bundle")
    assert "no such column (did you mean 'region'?)" in refused(capsys, run, "--by", "regoin")
    assert "it takes values, and this task gives class probabilities" in refused(capsys, run, "--metric", "mae")
    assert "unknown metric 'acuracy' (did you mean 'accuracy'?)" in refused(capsys, run, "--metric", "acuracy")
    assert "beta: Input should be greater than 0" in refused(capsys, run, "--metric", "{name: f_beta, beta: -1}")
    assert "write a name" in refused(capsys, run, "--metric", "[1, 2]")
    assert "not asked the same rows" in refused(capsys, run, "--against", str(folder / "prices"))
    assert "ask one at a time" in refused(capsys, run, "--by", "a", "--against", run)
    assert "give labelled ones with --data" in refused(capsys, bundle, "--by", "a")
    assert "no column 'nowhere'" in refused(capsys, bundle, "--data", str(folder / "shop.csv"), "--by", "nowhere", "-q")
    assert "the test split was opened before" in refused(capsys, run, "--by", "a", "--split", "test")
    assert "--split nowhere: must be" in refused(capsys, run, "--by", "a", "--split", "nowhere")
