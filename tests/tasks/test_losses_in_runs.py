"""Losses from a recipe to a bundle: what is decided is printed, written down, and not decided again."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import yaml

from lamplighter.core.errors import RecipeError
from lamplighter.core.recipe import Recipe
from lamplighter.run import Run, build_source, build_task, fit

RECIPE = """
name: trees
threads: 1
device: cpu
data: {{name: table, path: {path}, target: {target}, batch_size: 64}}
model: {{name: mlp, hidden: [16]}}
task: {task}
train: {{epochs: {epochs}, precision: fp32, optimizer: {{name: adamw, lr: 0.02}}}}
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trees: 1 in 15 is sick; heights with a few typing errors; girths without."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data") / "trees.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["rain", "light", "sick", "height", "girth"])
        for number in range(1200):
            rain, light = rng.standard_normal(2)
            sick = "yes" if rain + light + 0.5 * rng.standard_normal() > 2.3 else "no"
            height = 12 + 2 * rain + 0.3 * rng.standard_normal()
            height = height * 100 if number % 40 == 0 else height
            girth = 0.5 + 0.1 * light + 0.05 * rng.standard_normal()
            writer.writerow([f"{rain:.4f}", f"{light:.4f}", sick, f"{height:.3f}", f"{girth:.4f}"])
    return path


def recipe(table: Path, target: str, task: str, epochs: int = 2) -> Recipe:
    return Recipe.parse(RECIPE.format(path=table, target=target, task=task, epochs=epochs))


def run(table: Path, out: Path, target: str, task: str, epochs: int = 2) -> Run:
    return fit(recipe(table, target, task, epochs), out, progress=True)


def test_auto_is_printed_and_written_down(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(table, tmp_path / "run", "sick", "{name: classification}")
    printed = " ".join(capsys.readouterr().err.split())
    assert "loss: cross-entropy, because 'sick' is one of 2 classes" in printed
    assert "look at balanced_accuracy beside accuracy" in printed
    written = yaml.safe_load((done.path / "recipe.yaml").read_text())["task"]
    assert written["loss"] == {"name": "cross-entropy", "label_smoothing": 0.0, "ignore_index": -1}
    assert written["class_weights"] is None
    fit(done.path / "recipe.yaml", tmp_path / "again", progress=True)
    again = capsys.readouterr().err
    assert "mlp on table" in again and "because" not in again
    for name in ("best", "last"):
        weights = Path("checkpoints") / name / "model.safetensors"
        assert (tmp_path / "again" / weights).read_bytes() == (done.path / weights).read_bytes()


def test_class_weights_are_written_as_the_numbers_of_the_training_split(table: Path, tmp_path: Path) -> None:
    done = run(table, tmp_path / "run", "sick", "{name: classification, class_weights: balanced}")
    source = done.source()
    y = source.split("train").fetch(np.arange(len(source.split("train"))))["y"].numpy()
    counts = np.bincount(y)
    weights = done.recipe.task.params["class_weights"]
    np.testing.assert_allclose(weights, len(y) / (2 * counts), rtol=1e-14)
    assert done.task().criterion.class_weights.tolist() == pytest.approx(weights)


def test_what_was_decided_stays_whatever_the_data_say(table: Path, tmp_path: Path) -> None:
    done = run(table, tmp_path / "run", "height", "{name: regression}")
    assert done.recipe.task.params["loss"]["name"] == "huber"
    delta = done.recipe.task.params["loss"]["delta"]
    assert 0 < delta < 0.2, "the typing errors stretch the standard deviation"
    changed = done.recipe.with_(task=done.recipe.task.replace(loss={"name": "huber", "delta": 0.5}))
    task = build_task(changed, build_source(changed))
    assert task.resolved()["loss"].params == {"delta": 0.5} and list(task.notes) == []


def test_a_clean_number_gets_mse(table: Path, tmp_path: Path) -> None:
    assert run(table, tmp_path / "run", "girth", "{name: regression}").recipe.task.params["loss"] == {"name": "mse"}


def test_a_quantile_from_recipe_to_bundle(table: Path, tmp_path: Path) -> None:
    done = run(
        table, tmp_path / "run", "girth", "{name: regression, loss: {name: quantile, quantiles: [0.9]}}", epochs=20
    )
    bundle = done.export()
    source = done.source()
    rows = source.raw("test", np.arange(len(source.split("test"))))
    y = source.split("test").fetch(np.arange(len(rows)))["y"].numpy()[:, 0]
    answers = np.array([answer["value"] for answer in bundle.predict(rows)])
    assert 0.8 < (y <= answers).mean() <= 0.97, "nine in ten lie below the answer"
    losses = {r["epoch"]: r["val/loss"] for r in done.history if r["event"] == "epoch"}
    assert done.history[-1]["best_epoch"] == min(losses, key=lambda epoch: losses[epoch])
    assert done.metrics["loss"].low < done.metrics["loss"].value < done.metrics["loss"].high


def test_bce_with_a_weight_from_recipe_to_bundle(table: Path, tmp_path: Path) -> None:
    """The bundle's softmax gives the probability that was trained: the sigmoid of the difference of the logits."""
    task = "{name: classification, loss: {name: bce, pos_weight: balanced}}"
    done = run(table, tmp_path / "run", "sick", task, epochs=6)
    counts = np.bincount(done.source().split("train").fetch(np.arange(len(done.source().split("train"))))["y"])
    assert done.recipe.task.params["loss"]["pos_weight"] == pytest.approx(counts[0] / counts[1])
    bundle = done.export()
    rows = done.source().raw("test", np.arange(50))
    batch = done.source().split("test").fetch(np.arange(50))
    logits = done.task().evaluate(batch)["logits"].detach().numpy() / done.temperature
    expected = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    answered = [answer["probabilities"]["yes"] for answer in bundle.predict(rows)]
    np.testing.assert_allclose(answered, expected, rtol=1e-4)
    assert done.metrics["balanced_accuracy"].value > 0.85


def test_a_loss_that_does_not_fit_is_named_before_training(table: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"task\.loss: 'mae' scores numbers; classification of 2 classes takes bce"):
        run(table, tmp_path / "run", "sick", "{name: classification, loss: {name: mae}}")
    assert not (tmp_path / "run").exists()
