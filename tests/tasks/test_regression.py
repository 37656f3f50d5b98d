"""Regression: standardised inside, in units outside, blanks without weight."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lamplighter.core.errors import DataError, TrainingError
from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.models.mlp import MLP
from lamplighter.tasks.regression import Regression

MEAN, STD = [1000.0, -2.0], [300.0, 0.5]


def signature(*targets: Column) -> Signature:
    return Signature(
        inputs=(Column(name="x", kind="array", shape=(4,)),),
        tensors=(TensorSpec(name="x", dtype="float32", shape=(4,)),),
        targets=targets or (Column(name="price", kind="numeric"), Column(name="score", kind="numeric")),
    )


def task(model: nn.Module | None = None, **options: Any) -> Regression:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = model or MLP(4, 2, hidden=(5,))
    return Regression(model, signature(), target_statistics=(MEAN, STD), **options)


def batch(rows: int = 20) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    y = torch.randn(rows, 2, generator=generator) * torch.tensor(STD) + torch.tensor(MEAN)
    return {"x": torch.randn(rows, 4, generator=generator), "y": y}


def test_the_loss_is_on_the_standardised_scale_and_weighs_entries() -> None:
    one, rows = task(), batch()
    rows["y"][3, 0] = rows["y"][7, 1] = rows["y"][8, 1] = math.nan
    (loss,) = list(one.step(rows))
    errors = (one.model(rows["x"]) - (rows["y"] - torch.tensor(MEAN)) / torch.tensor(STD)).flatten()
    torch.testing.assert_close(loss.value, errors[~errors.isnan()].square().mean())
    assert float(loss.weight) == 37


def test_answers_are_in_units_and_blank_rows_are_left_out() -> None:
    one, rows = task().eval(), batch()
    rows["y"][0] = math.nan
    rows["y"][1, 0] = math.nan
    result = one.evaluate(rows)
    assert result["value"].shape == result["y"].shape == (19, 2)
    torch.testing.assert_close(result["value"], one.model(rows["x"][1:]) * torch.tensor(STD) + torch.tensor(MEAN))
    assert torch.isnan(result["y"][0, 0])


def test_loss_is_standardised_and_the_rest_in_units() -> None:
    one = task().eval()
    outputs = {name: tensor.detach().numpy() for name, tensor in one.evaluate(batch(80)).items()}
    metrics, scores = one.metrics(outputs), one.scores(outputs)
    error = outputs["value"].astype(float) - outputs["y"]
    assert metrics["loss"] == pytest.approx(((error / np.array(STD)) ** 2).mean(), rel=1e-6)
    assert metrics["mae"] == pytest.approx(np.abs(error).mean(), rel=1e-6)
    (loss,) = list(one.step(batch(80)))
    assert metrics["loss"] == pytest.approx(loss.value.item(), rel=1e-4)
    assert all(scores[name].value == pytest.approx(value) for name, value in metrics.items())
    assert scores["loss"].low <= scores["loss"].value <= scores["loss"].high


def test_one_target_may_be_a_vector() -> None:
    one = Regression(MLP(4, 1), signature(Column(name="price", kind="numeric")), target_statistics=([10.0], [2.0]))
    rows = {"x": batch()["x"], "y": batch()["y"][:, 0]}
    assert one.eval().evaluate(rows)["value"].shape == (20, 1)
    assert float(next(one.step(rows)).weight) == 20


@pytest.mark.parametrize("shape", ["(20,)", "(20, 3)"])
def test_an_answer_that_would_broadcast_is_refused(shape: str) -> None:
    model = nn.Sequential(nn.Linear(4, 1), nn.Flatten(0)) if shape == "(20,)" else nn.Linear(4, 3)
    with pytest.raises(TrainingError, match=r"regression needs \(rows, 2\)"):
        next(task(model).step(batch()))


def test_category_targets_are_refused() -> None:
    category = Column(name="kind", kind="category", categories=("a", "b"))
    with pytest.raises(DataError, match=r"'kind' is a category; use task: \{name: classification\}$"):
        Regression(MLP(4, 2), signature(category))
    codes = Column(name="kind", kind="category", categories=("1", "2"))
    with pytest.raises(DataError, match=r"or predict the number: data: \{target_kind: numeric\}$"):
        Regression(MLP(4, 2), signature(codes))


def test_targets_are_checked_before_training() -> None:
    y = batch()["y"]
    task().check_targets(y)
    y[4, 1] = math.inf
    with pytest.raises(DataError, match="training row 4, target 1: the value is infinite"):
        task().check_targets(y)
    y[:, 1] = math.nan
    with pytest.raises(DataError, match="no row of the training split has a value for target 1"):
        task().check_targets(y)


def test_the_export_answers_in_units() -> None:
    one = task(input_statistics=([1.0] * 4, [2.0] * 4))
    spec = one.export()
    assert (spec.kind, spec.outputs) == ("regression", ("value", "embedding"))
    torch.testing.assert_close(spec.module(batch()["x"])[0], one.eval().evaluate(batch())["value"])


def test_a_target_of_large_numbers_is_learned() -> None:
    """Without standardising, steps of this size get nowhere near a mean of 1000."""
    one, generator = task(), torch.Generator().manual_seed(3)
    x = torch.randn(256, 4, generator=generator)
    y = torch.stack([1000 + 300 * x[:, 0], -2 + 0.5 * x[:, 1]], 1)
    optimizer = torch.optim.AdamW(one.parameters(), lr=0.01)
    for _ in range(200):
        optimizer.zero_grad()
        next(one.step({"x": x, "y": y})).value.backward()
        optimizer.step()
    outputs = {name: tensor.detach().numpy() for name, tensor in one.eval().evaluate({"x": x, "y": y}).items()}
    assert one.metrics(outputs)["r2"] > 0.95
