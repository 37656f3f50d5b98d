"""Losses in the trainer: four micro-batches of 32 train exactly like one batch of 128, whatever rows weigh."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lamplighter.core.recipe import Component, Recipe
from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.data.rows import TensorRows
from lamplighter.losses.class_weights import EffectiveNumber
from lamplighter.losses.cross_entropy import probabilities
from lamplighter.models.mlp import MLP
from lamplighter.tasks.base import Loss, Task
from lamplighter.tasks.classification import Classification
from lamplighter.tasks.regression import Regression
from lamplighter.train.precision import Precision
from lamplighter.train.trainer import Trainer

ROWS = 560  # four whole batches of 128 and a ragged one of 48: micro-batches of 32 and 16
LABELS = ("a", "b", "c")


def signature(*targets: Column) -> Signature:
    return Signature(
        inputs=(Column(name="x", kind="array", shape=(6,)),),
        tensors=(TensorSpec(name="x", dtype="float32", shape=(6,)),),
        targets=targets,
    )


def rows(classes: int = 3) -> dict[str, Tensor]:
    """Classes of very different frequency: batches differ in the sum of their class weights."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, 6, dtype=torch.float64, generator=generator)
    shifted = x[:, :classes] + torch.tensor([2.0, 0.8, 0.0], dtype=torch.float64)[:classes]
    return {"x": x, "y": shifted.argmax(1)}


def unlabelled(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    batch["y"][:150] = -1
    return batch


def mixed(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """As mixup leaves them, some rows mixed with one that has no label, some without any."""
    hot = probabilities(batch["y"], torch.zeros(ROWS, 3, dtype=torch.float64))
    hot[::7] = hot[:20] = 0
    share = torch.rand(ROWS, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return {"x": batch["x"], "y": share * hot + (1 - share) * hot.roll(1, 0)}


def blanks(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    y = torch.stack([batch["x"][:, 0] * 50 + 500, batch["x"].sum(1) ** 3], dim=1)
    y[:150, 0] = math.nan
    y[100:130] = math.nan
    return {"x": batch["x"], "y": y}


def classification(classes: int = 3, **options: Any) -> Callable[[], Task]:
    column = Column(name="y", kind="category", categories=LABELS[:classes])

    def build() -> Task:
        torch.manual_seed(0)
        counts = tuple(torch.bincount(rows(classes)["y"], minlength=classes).tolist())
        return Classification(MLP(6, classes, hidden=(16,)), signature(column), class_counts=counts, **options)

    return build


def regression(**options: Any) -> Callable[[], Task]:
    columns = (Column(name="u", kind="numeric"), Column(name="v", kind="numeric"))

    def build() -> Task:
        torch.manual_seed(0)
        statistics = ([500.0, 0.0], [50.0, 20.0])
        return Regression(MLP(6, 2, hidden=(16,)), signature(*columns), target_statistics=statistics, **options)

    return build


def loss(name: str, **params: Any) -> Component:
    return Component.model_validate({"name": name, **params})


CASES: dict[str, tuple[Callable[[], Task], Callable[[], dict[str, Tensor]]]] = {
    "smoothing": (classification(label_smoothing=0.1), lambda: unlabelled(rows())),
    "class weights": (classification(class_weights="balanced"), rows),
    "class weights, smoothing, unlabelled": (
        classification(class_weights=(0.1, 1.0, 30.0), label_smoothing=0.2),
        lambda: unlabelled(rows()),
    ),
    "effective number": (
        classification(class_weights=EffectiveNumber(name="effective-number", beta=0.99)),
        lambda: unlabelled(rows()),
    ),
    "probabilities": (classification(), lambda: mixed(rows())),
    "probabilities, weights, smoothing": (
        classification(class_weights="balanced", label_smoothing=0.1),
        lambda: mixed(rows()),
    ),
    "ignored class": (classification(loss=loss("cross-entropy", ignore_index=1)), lambda: unlabelled(rows())),
    "focal": (classification(loss=loss("focal"), class_weights="balanced"), lambda: unlabelled(rows())),
    "bce": (classification(2, loss=loss("bce", pos_weight="balanced")), lambda: unlabelled(rows(2))),
    "mse": (regression(), lambda: blanks(rows())),
    "huber": (regression(loss=loss("huber", delta=0.3)), lambda: blanks(rows())),
    "quantile": (regression(loss=loss("quantile", quantiles=[0.8])), lambda: blanks(rows())),
}


def trained(task: Task, tensors: dict[str, Tensor], batch_size: int, accumulate: int, folder: Path) -> Trainer:
    folder.mkdir()
    whole = {"name": "x", "data": {"name": "digits"}, "model": {"name": "mlp"}, "task": {"name": "classification"}}
    settings = {
        "epochs": 2,
        "accumulate": accumulate,
        "optimizer": {"name": "sgd", "lr": 0.1, "weight_decay": 0.0},
        "schedule": {"name": "constant"},
    }
    hard = tensors["y"].argmax(1) if tensors["y"].shape[1:] == (3,) else tensors["y"]
    trainer = Trainer(
        task.double(),
        TensorRows(tensors),
        TensorRows({"x": tensors["x"], "y": hard}),
        settings=Recipe.parse(str(whole)).with_(train=settings).train,
        batch_size=batch_size,
        seed=0,
        precision=Precision("fp32", False),
        device=torch.device("cpu"),
        folder=folder,
    )
    trainer.fit()
    return trainer


def apart(one: Trainer, other: Trainer) -> float:
    pairs = zip(one.task.parameters(), other.task.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


@pytest.mark.parametrize("case", CASES)
def test_four_small_batches_train_like_one_large(case: str, tmp_path: Path) -> None:
    build, tensors = CASES[case]
    large = trained(build(), tensors(), 128, 1, tmp_path / "large")
    small = trained(build(), tensors(), 32, 4, tmp_path / "small")
    assert large.state.step == small.state.step == 2 * math.ceil(ROWS / 128)
    assert apart(large, small) <= 1e-12
    assert apart(large, trained(build(), tensors(), 64, 1, tmp_path / "other")) > 1e-4, "nothing was learned"


def test_counting_rows_instead_of_class_weights_would_show(tmp_path: Path) -> None:
    """The trap: a mean divided by the sum of class weights, passed on as the mean of so many rows."""

    class CountsRows(Classification):
        def step(self, batch: dict[str, Tensor]) -> Any:
            for one in super().step(batch):
                yield Loss(one.value, weight=torch.count_nonzero(batch["y"] >= 0))

    def build() -> Task:
        task = CASES["class weights"][0]()
        task.__class__ = CountsRows
        return task

    large = trained(build(), rows(), 128, 1, tmp_path / "large")
    small = trained(build(), rows(), 32, 4, tmp_path / "small")
    assert apart(large, small) > 1e-3


def test_the_logged_loss_is_the_mean_over_the_epoch_by_weight(tmp_path: Path) -> None:
    """With a network that stands still, train/loss is the weighted loss of all rows at once."""
    build, tensors = CASES["class weights, smoothing, unlabelled"]
    task = build().double()
    (whole,) = list(task.step(tensors()))
    whole_value = whole.value.item()
    trainer = trained(_frozen(task), tensors(), 32, 4, tmp_path / "run")
    assert trainer.state.metrics["train/loss"] == pytest.approx(whole_value, rel=1e-6)


def _frozen(task: Task) -> Task:
    """Steps change nothing: the gradients are there, and 0."""
    for parameter in task.parameters():
        parameter.register_hook(torch.zeros_like)
    return task
