"""`ensemble`: finished runs become one run, judged, exported and served like any other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

import lamplighter as lamp
from lamplighter.cli.app import app
from lamplighter.core.errors import DataError, LamplighterError, RunError, TrainingError
from lamplighter.core.recipe import Recipe
from lamplighter.data.splits import Splits
from lamplighter.metrics import ensembles
from lamplighter.metrics.calibration import softmax
from lamplighter.run import Run, fit
from lamplighter.run.ensembling import ensemble

DIGITS = """
name: digits
threads: 1
data: {name: digits, batch_size: 64}
model: %s
task: {name: classification}
train: {epochs: 3, precision: fp32, optimizer: {name: adamw, lr: 0.01}%s}
"""
MLP, CNN = "{name: mlp, hidden: [16]}", "{name: cnn, width: 4, stages: 1}"


def train(out: Path, model: str = MLP, more: str = "", **changes: Any) -> Run:
    sets = [f"{key}={value}" for key, value in changes.items()]
    return fit(Recipe.parse(DIGITS % (model, more), set=sets), out, progress=False)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("runs")
    return {
        "mlp": train(folder / "mlp"),
        "cnn": train(folder / "cnn", CNN),
        "poor": train(folder / "poor", "{name: mlp, hidden: [2]}"),
        "other": train(folder / "other", seed=1),
    }


def answers(run: Run, split: str = "test") -> np.ndarray:
    """Probabilities as the run's bundle would answer."""
    rows = run.source().split(split)
    batch = rows.fetch(np.arange(len(rows)))
    logits = run.task().evaluate(batch)["logits"].detach().numpy()
    return softmax(logits, run.temperature)


def test_two_runs_export_predict_and_are_the_numpy_vote(runs: dict[str, Run], tmp_path: Path) -> None:
    members = [runs["mlp"], runs["cnn"]]
    run = ensemble(members, "soft", tmp_path / "both", progress=False)
    expected = ensembles.vote([answers(member) for member in members])
    y = run.source().split("test").fetch(np.arange(269))["y"].numpy()
    assert run.metrics["accuracy"].value == pytest.approx(np.mean(expected.labels == y))
    assert run.metrics["accuracy"].n == 269
    bundle = run.export()
    assert bundle.manifest.parity.labels_equal and bundle.manifest.name == "digits-ensemble"
    raw = run.source().raw("test", np.arange(60))
    found = bundle.predict(raw)
    assert [row["label"] for row in found] == [str(label) for label in expected.labels[:60]]
    # the mean of what both runs answer, made honest by the ensemble's own temperature
    probabilities = np.array([list(row["probabilities"].values()) for row in found])
    mean = softmax(np.log(expected.probabilities[:60]), run.temperature)
    np.testing.assert_allclose(probabilities, mean, atol=2e-6)
    card = (run.path / "bundle" / "card.md").read_text()
    assert "2 networks" in card
    graph = onnx.load(run.path / "bundle" / "model.onnx").graph
    assert sum(node.op_type == "Conv" for node in graph.node) == 3  # the CNN's
    assert sum(node.op_type in ("Gemm", "MatMul") for node in graph.node) == 3  # its head, and the MLP's two layers


@pytest.fixture(scope="module")
def soft(runs: dict[str, Run], tmp_path_factory: pytest.TempPathFactory) -> Run:
    return ensemble([runs["mlp"], runs["cnn"]], out=tmp_path_factory.mktemp("soft") / "run", progress=False)


def test_it_is_a_run_like_any_other(soft: Run, runs: dict[str, Run]) -> None:
    assert soft.finished
    names = {entry.name for entry in soft.path.iterdir()}
    assert names == {"recipe.yaml", "requested.yaml", "split.npz", "checkpoints", "scores.json", "metrics.jsonl",
                     "report.html"}  # fmt: skip
    assert [record["event"] for record in soft.history] == ["ensemble", "test_opened", "finished"]
    assert soft.evaluate("val")["accuracy"].n == 270
    assert soft.source().splits == runs["mlp"].source().splits
    members = soft.recipe.task.params["members"]
    assert [member["run"] for member in members] == [str(runs["mlp"].path), str(runs["cnn"].path)]
    assert members[1]["model"]["name"] == "cnn"
    assert members[0]["temperature"] == pytest.approx(runs["mlp"].temperature)
    assert fit(soft.recipe, soft.path, resume=True, progress=False).metrics == soft.metrics
    with pytest.raises(TrainingError, match="was made of finished runs"):
        fit(soft.recipe, soft.path.parent / "again", progress=False)


def test_members_stand_beside_it_in_scores_and_report(soft: Run, runs: dict[str, Run]) -> None:
    found = json.loads((soft.path / "scores.json").read_text())["compared"]
    own, *others = found["models"]
    assert own["scores"]["accuracy"]["value"] == soft.metrics["accuracy"].value
    for other, run in zip(others, (runs["mlp"], runs["cnn"])):
        assert other["name"] == str(run.path)
        assert other["scores"]["loss"]["value"] == pytest.approx(run.metrics["loss"].value)
    assert own["parameters"] == sum(other["parameters"] for other in others)
    assert found["diversity"]["members"] == 2 and 0 < found["diversity"]["mutual_information"] < 0.7
    page = (soft.path / "report.html").read_text()
    assert "every answer is computed by 2 networks" in page and str(runs["cnn"].path) in page
    assert "All 2 members agree on" in page
    assert ">adamw" not in page  # nothing was trained here


def test_the_members_may_be_deleted(runs: dict[str, Run], tmp_path: Path) -> None:
    for name in ("mlp", "cnn"):
        shutil.copytree(runs[name].path, tmp_path / name)
    run = ensemble([tmp_path / "mlp", tmp_path / "cnn"], out=tmp_path / "both", progress=False)
    for name in ("mlp", "cnn"):
        shutil.rmtree(tmp_path / name)
    assert Run(run.path).evaluate("val") == run.evaluate("val")


def test_weights_are_fitted_on_validation_rows_and_useless_runs_left_out(runs: dict[str, Run], tmp_path: Path) -> None:
    members = [runs["mlp"], runs["poor"], runs["cnn"]]
    run = ensemble(members, "weighted", tmp_path / "w", progress=False)
    y = run.source().split("val").fetch(np.arange(270))["y"].numpy()
    weights = ensembles.fit_weights([answers(member, "val") for member in members], y)
    kept = weights > 0
    assert run.recipe.task.params["weights"] == pytest.approx(weights[kept].tolist(), abs=1e-3)
    assert len(run.recipe.task.params["members"]) == kept.sum()
    expected = ensembles.vote([answers(m) for m, k in zip(members, kept) if k], "weighted", weights[kept])
    y = run.source().split("test").fetch(np.arange(269))["y"].numpy()
    assert run.metrics["accuracy"].value == pytest.approx(np.mean(expected.labels == y))
    twice = [runs["mlp"], runs["poor"]]
    weight = ensembles.fit_weights([answers(member, "val") for member in twice], run.source().split("val").fetch(
        np.arange(270))["y"].numpy())[1]  # fmt: skip
    if weight == 0:
        with pytest.raises(LamplighterError, match=f"no mixture of these runs is better than {runs['mlp'].path} alone"):
            ensemble(twice, "weighted", tmp_path / "none", progress=False)
        assert not (tmp_path / "none").exists()


def test_hard_votes(runs: dict[str, Run], tmp_path: Path) -> None:
    members = [runs["mlp"], runs["cnn"], runs["poor"]]
    run = ensemble(members, "hard", tmp_path / "h", progress=False)
    expected = ensembles.vote([answers(member) for member in members], "hard")
    assert np.array_equal(answers(run).argmax(axis=1), expected.labels)
    assert run.export().manifest.parity.labels_equal


def test_runs_of_other_splits_are_refused(runs: dict[str, Run], tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"other: was trained on other splits than .*mlp.*task: \{name: ensemble"):
        ensemble([runs["mlp"], runs["other"]], out=tmp_path / "x", progress=False)
    assert not (tmp_path / "x").exists()


def write_table(path: Path, target: Callable[[float, float], Any]) -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(120, 2))
    lines = [f"{a:.4f},{b:.4f},{target(a, b)}" for a, b in points]
    path.write_text("a,b,y\n" + "\n".join(lines) + "\n")


def fit_table(path: Path, out: Path, task: str, **changes: Any) -> Run:
    recipe = {
        "name": "t", "threads": 1, "data": {"name": "table", "path": str(path), "target": "y", "batch_size": 16},
        "model": {"name": "mlp", "hidden": [8]}, "task": {"name": task},
        "train": {"epochs": 15, "precision": "fp32", "optimizer": {"name": "adamw", "lr": 0.02}}, **changes,
    }  # fmt: skip
    return fit(Recipe.parse(json.dumps(recipe)), out, progress=False)


def test_runs_on_other_data_are_refused(runs: dict[str, Run], tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", lambda a, b: "yes" if a > b else "no")
    table = fit_table(tmp_path / "t.csv", tmp_path / "table", "classification")
    with pytest.raises(RunError, match=r"table: was trained on other data \(table\) than .* \(digits\)"):
        ensemble([runs["mlp"], table], progress=False)
    fewer = fit_table(
        tmp_path / "t.csv", tmp_path / "fewer", "classification",
        data={"name": "table", "path": str(tmp_path / "t.csv"), "target": "y", "columns": {"b": "ignore"}},
    )  # fmt: skip
    with pytest.raises(DataError, match="fewer takes other inputs"):
        ensemble([table, fewer], progress=False)


@pytest.mark.parametrize("combine", ["soft", "weighted", "stacking"])
def test_numbers_are_averaged_weighted_and_stacked(combine: str, tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", lambda a, b: f"{300 + 40 * a - 25 * b * b:.3f}")
    members = [
        fit_table(tmp_path / "t.csv", tmp_path / "a", "regression"),
        fit_table(tmp_path / "t.csv", tmp_path / "b", "regression", model={"name": "mlp", "hidden": [16]}),
    ]
    run = ensemble(members, combine, tmp_path / "both", folds=3, progress=False)
    rows = run.source().split("test")
    batch = rows.fetch(np.arange(len(rows)))
    each = [member.task().evaluate(batch)["value"].detach().numpy() for member in members]
    if combine == "stacking":
        raw = run.source().raw("test", np.arange(len(rows)))
        found = np.array([row["value"] for row in run.export().predict(raw)])
    else:
        found = run.task().evaluate(batch)["value"][:, 0].detach().numpy()
    if combine == "stacking":
        linear = run.task().state_dict()
        weight, bias = (linear[f"combine.stacker.{name}"].numpy() for name in ("weight", "bias"))
        expected = ensembles.stack_features(each, classes=False) @ weight.T + bias
    else:
        expected = ensembles.average(each, run.recipe.task.params["weights"])
    np.testing.assert_allclose(found, expected[:, 0], rtol=1e-4)
    errors = [member.metrics["rmse"].value for member in members]
    assert run.metrics["rmse"].value < 1.2 * min(errors)
    with pytest.raises(LamplighterError, match="hard voting needs classes"):
        ensemble(members, "hard", tmp_path / "h", progress=False)
    assert not (tmp_path / "h").exists()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda runs, path: ensemble([runs["mlp"]], out=path), "takes at least two runs"),
        (lambda runs, path: ensemble([runs["mlp"], runs["cnn"]], "sofft", path), r"did you mean 'soft'\?"),
        (lambda runs, path: ensemble([runs["mlp"], path / "nowhere"], out=path), "neither a run directory nor a check"),
        (lambda runs, path: ensemble([runs["mlp"], runs["cnn"].path / "checkpoints" / "worst"], out=path), "holds no"),
    ],
)
def test_what_cannot_be_combined_is_refused(
    runs: dict[str, Run], tmp_path: Path, call: Callable[..., Any], words: str
) -> None:
    with pytest.raises(LamplighterError, match=words):
        call(runs, tmp_path)


def test_an_unfinished_run_is_refused(runs: dict[str, Run], tmp_path: Path) -> None:
    copy = tmp_path / "half"
    shutil.copytree(runs["mlp"].path, copy)
    lines = [line for line in (copy / "metrics.jsonl").read_text().splitlines() if '"finished"' not in line]
    (copy / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(RunError, match="half: training has not finished; go on with: lamp train"):
        ensemble([runs["cnn"], copy], progress=False)


def test_snapshots_of_one_run_become_an_ensemble(tmp_path: Path) -> None:
    more = ", schedule: {name: warm-restarts, t_0: 20, t_mult: 1}, callbacks: [{name: snapshots}]"
    run = train(tmp_path / "cyclic", more=more)
    folders = sorted((run.path / "checkpoints" / "snapshots").iterdir())
    assert [folder.name for folder in folders] == ["cycle-1", "cycle-2", "cycle-3"]
    together = ensemble(folders, out=tmp_path / "snap", progress=False)
    members = together.recipe.task.params["members"]
    assert len({member["digest"] for member in members}) == 3
    twin = run.task("snapshots/cycle-2")
    state = together.task().state_dict()
    assert all((state[f"members.1.{name}"] == tensor).all() for name, tensor in twin.state_dict().items())
    with pytest.raises(RunError, match="stacking trains runs anew, which a checkpoint is not"):
        ensemble(folders, "stacking", tmp_path / "s", progress=False)
    assert not (tmp_path / "s").exists()


def test_an_ensemble_is_a_teacher_and_its_student_exports_alone(
    soft: Run, runs: dict[str, Run], tmp_path: Path
) -> None:
    text = DIGITS % ("{name: mlp, hidden: [12]}", "")
    recipe = Recipe.parse(text).with_(task={"name": "distillation", "teacher": str(soft.path), "features": 0.05})
    run = fit(recipe, tmp_path / "student", progress=False)
    assert run.recipe.task.params["teacher_digest"] and run.recipe.task.params["teacher_features"] == 24
    found = json.loads((run.path / "scores.json").read_text())["compared"]["models"]
    assert [model["name"] for model in found] == ["this model", f"teacher ({soft.path})"]
    assert found[1]["scores"]["loss"]["value"] == pytest.approx(soft.metrics["loss"].value)
    bundle = run.export()
    raw = run.source().raw("test", np.arange(30))
    expected = answers(run)[:30]
    found_p = np.array([list(row["probabilities"].values()) for row in bundle.predict(raw)])
    np.testing.assert_allclose(found_p, expected, atol=1e-5)
    weights = (run.path / "bundle" / "weights.safetensors").stat().st_size
    assert weights < 10_000  # the student's 922 numbers
    with pytest.raises(RunError, match=r"its teacher .* was trained on all training rows"):
        ensemble([run, runs["mlp"]], "stacking", tmp_path / "s", progress=False)


def test_the_command(runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = [str(runs["mlp"].path), str(runs["cnn"].path)]
    shown = CliRunner().invoke(app, ["ensemble", *given, "--name", "both"], catch_exceptions=False)
    assert shown.exit_code == 0
    assert "Next: lamp export runs/both/1" in shown.stdout and "accuracy" in shown.stdout
    assert "2 runs together (soft) in runs/both/1: an answer costs 2 networks" in shown.stdout + shown.stderr
    again = CliRunner().invoke(app, ["ensemble", *given, "--out", "runs/both/1"])
    assert isinstance(again.exception, RunError) and "--force" in str(again.exception)
    CliRunner().invoke(app, ["ensemble", *given, "--out", "runs/both/1", "--force", "-q"], catch_exceptions=False)
    assert lamp.ensemble is ensemble
    assert Run("runs/both/1").metrics["accuracy"].n == 269


def test_monte_carlo_dropout_on_the_command_line(tmp_path: Path) -> None:
    run = train(tmp_path / "drop", "{name: mlp, hidden: [32], dropout: 0.3}")
    shown = CliRunner().invoke(app, ["evaluate", str(run.path), "--mc-dropout", "8", "--json"], catch_exceptions=False)
    found = json.loads(shown.stdout)
    assert found["scores"]["accuracy"]["n"] == 270  # validation rows; the test split stays closed
    assert 0 < found["uncertainty"]["mutual_information"] < found["uncertainty"]["entropy"]
    assert [record["event"] for record in run.history].count("test_opened") == 1
    plain = CliRunner().invoke(app, ["evaluate", str(run.path), "--mc-dropout", "8"], catch_exceptions=False)
    assert "mean of 8 answers" in plain.stdout and "mutual_information" in plain.stdout


def test_splits_are_compared_not_seeds(runs: dict[str, Run], tmp_path: Path) -> None:
    """Another seed on the same rows is welcome: that is what makes members differ."""
    splits = Splits.load(runs["mlp"].path / "split.npz")
    recipe = Recipe.parse(DIGITS % (MLP, ""), set=["seed=5"])
    twin = fit(recipe, tmp_path / "twin", splits=splits, progress=False)
    run = ensemble([runs["mlp"], twin], out=tmp_path / "both", progress=False)
    assert run.metrics["loss"].value < np.mean([runs["mlp"].metrics["loss"].value, twin.metrics["loss"].value])
