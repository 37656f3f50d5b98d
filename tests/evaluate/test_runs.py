"""Runs side by side, as ``lamp runs`` shows them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lamplighter.cli.app import app
from lamplighter.cli.runs import sparkline
from lamplighter.core.errors import RunError
from lamplighter.core.recipe import Recipe
from lamplighter.evaluate import comparison_page, runs
from lamplighter.run import Run, fit


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs that differ in two keys, one that only began, and one that is broken."""
    folder = tmp_path_factory.mktemp("runs")
    for name, changes in (("2", ["train.optimizer.lr=0.02"]), ("10", ["train.optimizer.lr=0.002", "seed=1"])):
        recipe = Recipe.load("digits", set=["train.epochs=3", "train.precision=fp32", "threads=1", *changes])
        fit(recipe, folder / "digits" / name, progress=False, judge=name == "2")
    begun = folder / "digits" / "11"
    begun.mkdir()
    recipe.save(begun / "requested.yaml")
    (folder / "broken").mkdir()
    (folder / "broken" / "recipe.yaml").write_text("name: [")
    return folder


def test_find_lists_runs_in_the_order_of_their_numbers_and_says_what_is_broken(folder: Path) -> None:
    found, broken = runs.find(folder)
    assert [run.path.name for run in found] == ["2", "10", "11"]
    assert [run.status for run in found] == ["finished", "finished", "begun"]
    assert len(broken) == 1
    assert "broken" in broken[0]


def test_numbers_are_those_of_the_run(folder: Path) -> None:
    found, _ = runs.find(folder)
    run = Run(folder / "digits" / "2")
    assert found[0].test == run.metrics
    assert found[1].test == {}, "its test split was never opened"
    assert found[1].val == Run(folder / "digits" / "10").val_metrics
    metric, best = found[0].monitored
    values = [record[f"val/{metric}"] for record in run.history if record["event"] == "epoch"]
    assert (metric, best) == ("accuracy", max(values))
    assert len(found[0].epochs) == 3


def test_differences_are_the_keys_that_differ(folder: Path) -> None:
    found, _ = runs.find(folder)
    assert runs.differences(found[:2]) == {"seed": ["0", "1"], "train.optimizer.lr": ["0.02", "0.002"]}
    assert runs.differences([found[0], found[0]]) == {}


def test_curves_have_a_value_for_each_epoch(folder: Path) -> None:
    found, _ = runs.find(folder)
    curves = runs.curves(found[:2])
    assert {"train/loss", "val/loss", "val/accuracy"} <= set(curves)
    assert [len(run) for run in curves["val/loss"]] == [3, 3]
    assert curves["train/loss"][0][0] > curves["train/loss"][0][-1]


def test_a_run_trained_anew_is_interrupted_until_it_has_finished(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(folder / "digits" / "2", copy)
    lines = (copy / "metrics.jsonl").read_text().splitlines()
    (copy / "metrics.jsonl").write_text("\n".join(line for line in lines if "finished" not in line) + "\n")
    assert runs.Summary.read(copy).status == "interrupted"
    (copy / "scores.json").write_text("{")
    with pytest.raises(RunError, match=r"scores.json: damaged"):
        runs.Summary.read(copy)


def test_the_page_shows_scores_differences_and_one_curve_a_run(folder: Path, tmp_path: Path) -> None:
    found, _ = runs.find(folder)
    comparison_page.write(tmp_path / "page.html", found[:2])
    page = (tmp_path / "page.html").read_text()
    assert "digits/2" in page
    assert "digits/10" in page
    assert "<code>train.optimizer.lr</code>" in page
    assert page.count("<svg") >= 3
    assert "://" not in page.replace("http://www.w3.org", "")


def lamp(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["runs", *arguments])
    return done.exit_code, done.output


def test_the_verb(folder: Path, tmp_path: Path) -> None:
    code, shown = lamp(str(folder))
    assert code == 0
    assert shown.count("finished") == 2
    assert "warning: " in shown
    two = [str(folder / "digits" / name) for name in ("2", "10")]
    code, shown = lamp(*two, "--html", str(tmp_path / "x.html"))
    assert code == 0
    assert "train.optimizer.lr" in shown
    assert (tmp_path / "x.html").is_file()
    code, shown = lamp(*two, "--json")
    answer = json.loads(shown)
    assert answer["differences"]["seed"] == ["0", "1"]
    assert len(answer["curves"]["val/loss"][1]) == 3
    code, shown = lamp(str(folder), "--json")
    assert [run["epochs"] for run in json.loads(shown.partition("\n")[2] if shown[0] == "w" else shown)] == [3, 3, 0]


def test_a_sparkline_has_gaps_where_values_are_missing() -> None:
    assert sparkline([0.0, float("nan"), 1.0]) == "▁ █ 0 -> 1"
    assert sparkline([float("nan")]) == "-"
    assert sparkline([2.0, 2.0]) == "▄▄ 2 -> 2"


def test_five_more_epochs_for_a_finished_run(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(folder / "digits" / "2", copy)
    before = Run(copy).history
    run = fit(Recipe.load(copy / "recipe.yaml"), copy, more_epochs=5, progress=False)
    assert run.finished
    assert (run.recipe.train.epochs, run.recipe.train.restarts) == (8, (3,))
    history = run.history
    assert history[: len(before)] == before, "nothing of the diary is lost"
    assert [record["epoch"] for record in history if record["event"] == "epoch"] == list(range(1, 9))
    assert sum(record["event"] == "test_opened" for record in history) == 2
    rates = [record["lr"] for record in history if record["event"] == "epoch"]
    assert max(rates[3:]) > 10 * rates[2], "the schedule started over"
    kept = [record for record in history if record["event"] != "finished"]
    (copy / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in kept))
    with pytest.raises(RunError, match="not finished"):
        fit(Recipe.load(copy / "recipe.yaml"), copy, more_epochs=5, progress=False)


def test_more_epochs_under_a_limit_are_refused_and_patience_begins_anew(tmp_path: Path) -> None:
    base = "{name: x, threads: 1, data: {name: digits}, model: {name: mlp}, task: {name: classification}}"
    limited = Recipe.parse(base, set=["train.max_steps=12", "train.precision=fp32"])
    fit(limited, tmp_path / "limited", progress=False)
    with pytest.raises(RunError, match=r"train\.max_steps: 12"):
        fit(limited, tmp_path / "limited", more_epochs=2, progress=False)
    stops = ["train.callbacks.0.name=early-stopping", "train.callbacks.0.patience=2"]
    patient = Recipe.parse(base, set=["train.epochs=9", "train.precision=fp32", *stops])
    patient = patient.with_(train={**patient.train.model_dump(mode="json"), "optimizer": {"name": "sgd", "lr": 1e-7}})
    run = fit(patient, tmp_path / "patient", progress=False)
    before = len([record for record in run.history if record["event"] == "epoch"])
    assert before < 9, "it stopped early"
    fit(Recipe.load(tmp_path / "patient" / "recipe.yaml"), tmp_path / "patient", more_epochs=2, progress=False)
    assert len([record for record in run.history if record["event"] == "epoch"]) == before + 2
