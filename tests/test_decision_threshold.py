"""A tuned threshold from the recipe to the monitor: chosen on validation rows, and the same answer everywhere."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamplighter as lamp
from lamplighter.bundle.export import export_bundle
from lamplighter.bundle.runtime import kinds
from lamplighter.bundle.runtime.evaluation import evaluate_file, judge_file
from lamplighter.core.errors import BundleError, RecipeError
from lamplighter.core.recipe import Recipe
from lamplighter.metrics.calibration import softmax
from lamplighter.metrics.thresholds import MaxFBeta, decide
from lamplighter.monitor.drift.baseline import Baseline, predictions
from lamplighter.monitor.records import Predictions
from lamplighter.run import Run, fit

RECIPE = """
name: fraud
threads: 1
data: {{name: table, path: {path}, target: kind, batch_size: 64}}
model: {{name: mlp, hidden: [8]}}
task: {{name: classification, positive: fraud}}
train: {{epochs: 6, precision: fp32, optimizer: {{name: adamw, lr: 0.02}}, metrics: [{{name: f_beta, beta: 2}}]}}
bundle: {{threshold: {{name: max-f-beta, beta: 3}}}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frauds are rare and hard to tell; their label comes first in the alphabet."""
    folder = tmp_path_factory.mktemp("threshold")
    rng = np.random.default_rng(0)
    with (folder / "payments.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "country", "kind"])
        for _ in range(900):
            fraud = rng.random() < 0.2
            a, b = rng.normal() + 1.3 * fraud, rng.normal()
            writer.writerow([round(a, 3), round(b, 3), rng.choice(["de", "fr"]), "fraud" if fraud else "ok"])
    run = fit(Recipe.parse(RECIPE.format(path=folder / "payments.csv")), out=folder / "run", progress=False)
    run.export()
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return Run(folder / "run")


def test_it_is_chosen_on_validation_rows_for_the_positive_label(run: Run) -> None:
    _, outputs, _ = run.answers("val")
    p, y = softmax(outputs["logits"]), outputs["y"]
    assert run.source().signature.labels == ("fraud", "ok")
    assert run.threshold == MaxFBeta(3.0)(p[:, 0], y == 0) and run.threshold < 0.4
    assert np.array_equal(outputs["answers"] == 0, decide(p[:, 0], run.threshold))
    assert (outputs["answers"] != p.argmax(axis=1)).any()


def test_scores_are_of_the_answers_that_the_bundle_gives(run: Run) -> None:
    _, outputs, _ = run.answers("test", again=True)
    right = outputs["answers"] == outputs["y"]
    assert run.metrics["accuracy"].value == pytest.approx(right.mean(), abs=1e-12)
    assert run.metrics["recall"].value == pytest.approx(right[outputs["y"] == 0].mean(), abs=1e-12)
    assert run.metrics["recall"].n == (outputs["y"] == 0).sum()
    assert run.metrics["f2_macro"].n == len(right)
    bundle = lamp.load_bundle(run.path / "bundle")
    assert bundle.manifest.metrics["accuracy"] == run.metrics["accuracy"]
    epochs = [record["val/f2_macro"] for record in run.history if record["event"] == "epoch"]
    assert len(epochs) == 6 and all(0 <= value <= 1 for value in epochs)


def test_the_report_shows_the_threshold_in_use(run: Run) -> None:
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "When to say “fraud”" in page and f"<b>{run.threshold:.4g}</b>" in page
    assert "Largest F3" in page and "threshold: {name: youden}" in page


def test_the_bundle_answers_by_it_and_monitor_and_reference_agree(run: Run, folder: Path) -> None:
    bundle = lamp.load_bundle(run.path / "bundle")
    output = bundle.manifest.output
    assert (output.threshold, output.positive) == (run.threshold, 0)
    rows = run.source().raw("test", np.arange(100))
    tensors = bundle.preprocess(rows)
    outputs = bundle.run(tensors)
    answers, scores = bundle.postprocess(outputs), bundle.scores_of(outputs)
    labels = [answer["label"] for answer in answers]
    expected = ["fraud" if yes else "ok" for yes in decide(scores[:, 0], run.threshold or 0)]
    assert labels == expected == [answer["label"] for answer in bundle.predict(rows)]
    assert min(answer["confidence"] for answer in answers) < 0.5
    assert all(answer["confidence"] == answer["probabilities"][answer["label"]] for answer in answers)

    features = bundle.features(rows, tensors, outputs)
    ids = [str(i) for i in range(100)]
    stored = Predictions.copy_of(ids, features, scores, 0.1, 0.0, (features.shape[1], 2)).to_rows("fraud", "1", output)
    assert [row["label"] for row in stored] == labels
    codes = predictions(scores.astype(np.float32), output)[:, 0]
    assert [output.labels[int(code)] for code in codes] == labels
    baseline = Baseline.from_reference(bundle.reference, bundle.manifest.features, output)
    _, val, _ = run.answers("val")
    assert bundle.reference.class_counts.tolist() == np.bincount(val["answers"], minlength=2).tolist()
    assert (
        baseline.counts[-1] is not None and baseline.counts[-1][:2].tolist() == bundle.reference.class_counts.tolist()
    )


def test_a_labelled_file_is_scored_by_it(run: Run, folder: Path) -> None:
    bundle = lamp.load_bundle(run.path / "bundle")
    judged = judge_file(bundle, folder / "payments.csv", ["country", "a"], progress=False)
    assert set(judged.columns["country"]) == {"de", "fr"} and len(judged.columns["a"]) == 900
    p, answers, y = (judged.outputs[name] for name in ("probabilities", "answers", "y"))
    assert np.array_equal(answers == 0, decide(p[:, 0], run.threshold or 0))
    found = evaluate_file(bundle, folder / "payments.csv", progress=False)
    assert found["accuracy"].value == pytest.approx((answers == y).mean(), abs=1e-12)
    assert found["recall"].n == (y == 0).sum()


def test_a_validation_row_that_lies_on_the_threshold_does_not_stop_the_export(run: Run, tmp_path: Path) -> None:
    _, outputs, _ = run.answers("val")
    exact = float(softmax(outputs["logits"])[0, 0])
    settings: dict[str, Any] = {"scores": run.metrics, "temperature": run.temperature, "version": "1"}
    for threshold in (exact, np.nextafter(exact, 1), np.nextafter(exact, 0)):
        export_bundle(
            tmp_path / "bundle",
            task=run.task(),
            source=run.source(),
            recipe=run.recipe.to_dict(),
            threshold=threshold,
            **settings,
        )
    with pytest.raises(BundleError, match=r"the threshold 3\.0 of class 0"):
        export_bundle(
            tmp_path / "other", task=run.task(), source=run.source(), recipe=run.recipe.to_dict(), threshold=3.0,
            positive=0, **settings,
        )  # fmt: skip
    assert not (tmp_path / "other").exists()


def test_parity_forgives_rounding_at_the_threshold_and_nothing_else(run: Run) -> None:
    bundle = lamp.load_bundle(run.path / "bundle")
    rows = run.source().raw("val", np.arange(20))
    alone = bundle.run(bundle.preprocess(rows))
    exact = float(bundle.scores_of(alone)[4, 0])
    output = bundle.manifest.output.model_copy(update={"threshold": exact})
    kind = bundle.kind = kinds.of(output)
    lower = alone["logits"] - np.array([[1e-5, 0]], np.float32)  # torch, a little less sure of the first class
    assert output.classes(bundle.scores_of({"logits": lower}))[4] == 1
    ours = bundle.predict(rows)[4]
    assert ours["label"] == "fraud"
    assert kind.difference(ours, kind.answers({"logits": lower}, {})[4]) is None
    far = alone["logits"] - np.array([[2, 0]], np.float32)
    assert kind.difference(ours, kind.answers({"logits": far}, {})[4]) == "label 'fraud' where torch says 'ok'"


def test_a_run_of_before_there_were_thresholds_is_read(run: Run, tmp_path: Path) -> None:
    for name in ("recipe.yaml", "metrics.jsonl"):
        (tmp_path / name).write_bytes((run.path / name).read_bytes())
    scores = json.loads((run.path / "scores.json").read_text())
    (tmp_path / "scores.json").write_text(json.dumps({k: scores[k] for k in ("temperature", "val", "test")}))
    assert Run(tmp_path).threshold is None


def _refused(folder: Path, tmp_path: Path, *changes: tuple[str, str]) -> str:
    text = RECIPE.format(path=folder / "payments.csv")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    with pytest.raises(RecipeError) as caught:
        fit(Recipe.parse(text), out=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
    return str(caught.value)


def test_what_does_not_fit_is_said_before_training(folder: Path, tmp_path: Path) -> None:
    number = (
        ("target: kind", "target: a"),
        ("task: {name: classification, positive: fraud}", "task: {name: regression}"),
    )
    assert "bundle.threshold: decides between the two classes of a target; this one is a number" in _refused(
        folder, tmp_path, *number
    )
    found = _refused(folder, tmp_path, *number, ("bundle: {threshold: {name: max-f-beta, beta: 3}}", ""))
    assert "train.metrics.0: 'f_beta' is no metric of this task: it takes labels, and this task gives numbers" in found
    assert "no label 'frod'; there are 'fraud' and 'ok'" in _refused(
        folder, tmp_path, ("positive: fraud", "positive: frod")
    )
    assert "beta" in _refused(folder, tmp_path, ("beta: 3", "beta: 0"))
    assert "did you mean 'max-f-beta'" in _refused(folder, tmp_path, ("max-f-beta", "max-f-bta"))
