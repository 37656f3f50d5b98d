"""The overfitting verdict: polynomials of degree 1, 3 and 9, real runs, and the trivial model beside scikit-learn's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.dummy import DummyClassifier, DummyRegressor
from torch import Tensor, nn
from typer.testing import CliRunner

import lamplighter as lamp
from lamplighter.cli.app import app
from lamplighter.core.recipe import Recipe
from lamplighter.data.rows import TensorRows
from lamplighter.evaluate import overfitting
from lamplighter.evaluate.overfitting import Verdict, verdict
from lamplighter.metrics import classification, regression
from lamplighter.tasks.base import Task


def polynomial(degree: int, seed: int, points: int = 10) -> Verdict:
    """Fitted to evenly spaced points of a noisy sine, judged on random ones."""
    rng = np.random.default_rng(seed)
    x, x_new = np.linspace(0, 1, points), rng.random(100)
    y, y_new = (np.sin(2 * np.pi * at) + 0.2 * rng.normal(size=len(at)) for at in (x, x_new))
    fitted = np.polynomial.Polynomial.fit(x, y, degree)
    losses = [regression.mse(answer, truth) for answer, truth in ((fitted(x), y), (fitted(x_new), y_new))]
    return verdict(*losses, baseline_loss=regression.mse(np.full(100, y.mean()), y_new), rows=points)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("degree", "kind"), [(1, "under"), (3, "ok"), (9, "over")])
def test_polynomials(degree: int, kind: str, seed: int) -> None:
    assert polynomial(degree, seed).kind == kind


def test_polynomials_of_200_seeds() -> None:
    right = {
        degree: sum(polynomial(degree, seed).kind == kind for seed in range(200))
        for degree, kind in ((1, "under"), (3, "ok"), (9, "over"))
    }
    assert right == {1: 200, 3: 194, 9: 197}
    assert sum(polynomial(3, seed, points=20).kind == "ok" for seed in range(200)) == 200


@pytest.mark.parametrize(
    ("train", "val", "kind"),
    [
        (0.02, 0.08, "ok"),  # a network that knows its digits: five times the loss, but a small one
        (0.01, 0.30, "over"),
        (0.20, 0.40, "ok"),
        (0.20, 1.50, "over"),
        (1.00, 2.00, "under"),
        (1.30, 1.40, "under"),
        (1.30, 3.60, "over"),
        (2.30, 2.30, "under"),
    ],
)
def test_losses_of_ten_classes(train: float, val: float, kind: str) -> None:
    assert verdict(train, val, baseline_loss=2.3).kind == kind


def test_words_and_numbers() -> None:
    found = verdict(0.5, 2.5, 2.0, rows=70)
    assert (found.title, found.gap) == ("overfitting", 1.0)
    assert (
        found.lines()[1]
        == "what usually helps: more training rows, or augmentation (augment, callbacks mixup and cutmix)"
    )
    assert Verdict.from_dict(found.to_dict()) == found
    assert verdict(0.1, 0.11, 2.0).lines() == [
        "a good fit: loss 0.1 on training rows, 0.11 on validation rows, 2 for always answering the same"
    ]
    assert verdict(1.0, 1.1, 2.0).advice[0].startswith("a larger model")


def test_the_trivial_model_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    y, y_new = rng.choice(3, 500, p=[0.7, 0.2, 0.1]), rng.choice(3, 200, p=[0.7, 0.2, 0.1])
    train = {"logits": rng.normal(size=(500, 3)), "y": y}
    answer = overfitting.constant_answer(train, {"logits": np.zeros((200, 3)), "y": y_new})
    assert answer is not None
    p = np.exp(answer["logits"])
    dummy = DummyClassifier(strategy="prior").fit(np.zeros((500, 1)), y).predict_proba(np.zeros((200, 1)))
    assert np.abs(p - dummy).max() < 3 / 500, "but for the one row more of each class"
    assert p.sum(1) == pytest.approx(1)
    never = {"logits": np.zeros((4, 3)), "y": np.zeros(4, int)}
    unseen = overfitting.constant_answer(never, answer)
    assert unseen is not None and np.isfinite(unseen["logits"]).all()
    assert classification.metrics(p, y_new)["loss"] < np.log(3)

    t = np.where(rng.random((50, 2)) < 0.2, np.nan, rng.normal(size=(50, 2)) * [1, 9] + 5)
    answer = overfitting.constant_answer({"value": t * 0, "y": t}, {"value": np.zeros((7, 2)), "y": np.zeros((7, 2))})
    assert answer is not None and answer["value"].shape == (7, 2)
    for column in range(2):
        present = t[~np.isnan(t[:, column]), column]
        dummy = DummyRegressor().fit(np.zeros((len(present), 1)), present).predict(np.zeros((7, 1)))
        assert answer["value"][:, column] == pytest.approx(dummy, rel=1e-12)


def test_several_labels_at_once_and_outputs_of_other_tasks() -> None:
    y = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, np.nan], [1.0, 1.0]])
    answer = overfitting.constant_answer({"logits": np.zeros((4, 2)), "y": y}, {"logits": np.zeros((3, 2))})
    assert answer is not None
    assert 1 / (1 + np.exp(-answer["logits"][0])) == pytest.approx([4 / 6, 2 / 5])
    assert overfitting.constant_answer({"masks": np.zeros((4, 2))}, {}) is None
    assert overfitting.constant_answer({"logits": np.zeros((4, 2, 5, 5)), "y": np.zeros((4, 5, 5))}, {}) is None


class Table(Task):
    """Answers with the table's logits; training mode would be noticed."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.9)

    def evaluate(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": self.drop(batch["x"]), "y": batch["y"]}

    def metrics(self, outputs: dict[str, np.ndarray]) -> dict[str, float]:
        e = np.exp(outputs["logits"] - outputs["logits"].max(1, keepdims=True))
        return {"loss": classification.log_loss(e / e.sum(1, keepdims=True), outputs["y"])}


def test_judge_looks_at_a_sample_in_evaluation_mode() -> None:
    y = torch.arange(12_000) % 3
    sure = TensorRows({"x": 9.0 * nn.functional.one_hot(y, 3), "y": y})
    task = Table().train()
    val = {"logits": np.zeros((6, 3)), "y": np.zeros(6, dtype=int)}
    found = overfitting.judge(task, sure, val, 1000, torch.device("cpu"))
    assert found is not None and found.kind == "over" and found.rows == 5000 and task.training
    assert found.train_loss == pytest.approx(np.log(1 + 2 * np.exp(-9)), rel=1e-3)
    assert [found.val_loss, found.baseline_loss] == pytest.approx([np.log(3)] * 2, abs=0.01)
    broken = {"logits": np.full((6, 3), np.nan), "y": val["y"]}
    assert overfitting.judge(task, sure, broken, 1000, torch.device("cpu")) is None


RECIPE = """
name: fits
threads: 1
data: {name: digits, batch_size: 64}
model: {name: mlp, hidden: [64]}
task: {name: classification}
train: {epochs: 6, precision: fp32, optimizer: {name: adamw, lr: 0.01}}
"""


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("ok", []),
        ("under", ["train.epochs=1", "train.optimizer.lr=0.00001"]),
        ("over", ["data.split=[0.04, 0.46, 0.5]", "model.hidden=[128]", "train.epochs=60"]),  # 72 rows
    ],
)
def test_a_run_says_it_in_its_report_and_its_scores(kind: str, changes: list[Any], tmp_path: Path) -> None:
    run = lamp.fit(Recipe.parse(RECIPE, set=changes), tmp_path / "run", progress=False)
    found = run.overfitting
    assert found is not None and found.kind == kind
    assert found.rows == len(run.source().splits.train)
    assert found.val_loss == run.history[run.history[-1]["best_epoch"] - 1]["val/loss"]
    assert found.baseline_loss == pytest.approx(np.log(10), abs=0.02)
    page = (run.path / "report.html").read_text()
    assert f"Seen and unseen rows: {found.title}" in page
    assert (f"What usually helps against {found.title}" in page) == (kind != "ok")
    printed = CliRunner().invoke(app, ["evaluate", str(run.path)]).output
    assert all(line in printed for line in found.lines())
