"""Regression: standardised inside, in units outside, blanks without weight."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lamplighter.core.errors import DataError, RecipeError, TrainingError
from lamplighter.core.recipe import Component
from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.losses.choose import Tail, tails
from lamplighter.losses.huber import huber
from lamplighter.losses.mae import mae
from lamplighter.losses.quantile import quantile_loss
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


def loss(name: str, **params: Any) -> Component:
    return Component.model_validate({"name": name, **params})


def test_auto_looks_at_the_tails_and_says_why() -> None:
    light, heavy = task(tails=[Tail(0.0, 1.0)] * 2), task(tails=[Tail(0.0, 1.0), Tail(0.05, 0.3)])
    assert light.resolved() == {"loss": loss("mse")}
    assert light.notes == ["loss: mse, because 'price', 'score' are numbers without heavy tails"]
    assert heavy.resolved() == {"loss": loss("huber", delta=0.3)}
    assert "5.0% of the training values of 'score'" in heavy.notes[0]
    assert task(loss=loss("mse"), tails=[Tail(0.5, 0.1)] * 2).notes == [], "what the recipe says is not decided again"


@pytest.mark.parametrize(
    ("component", "function"),
    [
        (loss("huber", delta=0.4), lambda p, t: huber(p, t, 0.4)),
        (loss("mae"), mae),
        (loss("quantile", quantiles=(0.8,)), lambda p, t: quantile_loss(p, t, [0.8])),
    ],
)
def test_any_loss_of_numbers_trains_and_is_the_metric_with_an_interval(component: Component, function: Any) -> None:
    """Judged by the squared error, a network that answers the 0.8 quantile would seem to get worse as it learns."""
    one, rows = task(loss=component).eval(), batch(80)
    rows["y"][3, 0] = rows["y"][5] = math.nan
    standardised = (rows["y"] - torch.tensor(MEAN)) / torch.tensor(STD)
    expected = function(one.model(rows["x"]), standardised)
    (found,) = list(one.step(rows))
    torch.testing.assert_close(found.value, expected)
    assert found.weight == 157
    outputs = {name: tensor.detach().numpy() for name, tensor in one.evaluate(rows).items()}
    metrics, scores = one.metrics(outputs), one.scores(outputs)
    assert metrics["loss"] == pytest.approx(expected.item(), rel=1e-4)
    assert metrics["mae"] == task().metrics(outputs)["mae"]
    assert scores["loss"].value == metrics["loss"] and scores["loss"].n == 79
    assert 0 < scores["loss"].low < metrics["loss"] < scores["loss"].high
    blank = {"value": np.zeros((1, 2), np.float32), "y": np.full((1, 2), np.nan, np.float32)}
    with_blank = {name: np.concatenate([outputs[name], blank[name]]) for name in outputs}
    assert one.scores(with_blank)["loss"] == scores["loss"], "a row without a target is no row"


def test_without_rows_there_is_no_loss() -> None:
    empty = {"value": np.zeros((0, 2), np.float32), "y": np.zeros((0, 2), np.float32)}
    one = task(loss=loss("mae"))
    assert math.isnan(one.metrics(empty)["loss"])
    assert one.scores(empty) == {}


def test_an_answer_that_is_not_finite_has_no_score() -> None:
    outputs = {"value": np.array([[np.inf, 1.0], [1.0, 2.0]]), "y": np.ones((2, 2))}
    assert "loss" not in task(loss=loss("mae")).scores(outputs)


@pytest.mark.parametrize(
    ("component", "words"),
    [
        (loss("quantile", quantiles=(0.1, 0.9)), "regression answers one number for each target; give one quantile"),
        (loss("cross-entropy"), "'cross-entropy' scores one class out of several; regression takes huber, log-cosh"),
    ],
)
def test_losses_that_do_not_fit_are_refused(component: Component, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        task(loss=component)


def fitted(one: Regression, rows: dict[str, Tensor], steps: int = 200) -> Regression:
    optimizer = torch.optim.AdamW(one.parameters(), lr=0.02, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=steps)
    for _ in range(steps):
        optimizer.zero_grad()
        next(one.step(rows)).value.backward()
        optimizer.step()
        schedule.step()
    return one.eval()


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_the_answer_is_the_quantile_in_the_targets_own_units(q: float) -> None:
    """Noise that grows with x: the answer must lie above a share q of the targets, whatever x is."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(4000, 4, generator=generator)
    y = 1000 + 300 * x[:, :1] + 100 * (0.2 + x[:, :1]) * torch.randn(4000, 1, generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MLP(4, 1, hidden=(16,))
    column = signature(Column(name="price", kind="numeric"))
    statistics = ([float(y.mean())], [float(y.std())])
    one = Regression(model, column, target_statistics=statistics, loss=loss("quantile", quantiles=(q,)))
    fitted(one, {"x": x[:2000], "y": y[:2000]})
    answer = one.evaluate({"x": x[2000:], "y": y[2000:]})["value"]
    below = (y[2000:] <= answer).float()
    for part in (x[2000:, 0] < 0.5, x[2000:, 0] >= 0.5):
        assert abs(below[part].mean().item() - q) < 0.05
    exact = (
        1000 + 300 * x[2000:, :1] + 100 * (0.2 + x[2000:, :1]) * math.sqrt(2) * torch.erfinv(torch.tensor(2 * q - 1))
    )
    assert (answer - exact).abs().mean() < 20, "sd of the noise is 20 to 120"
    torch.testing.assert_close(one.export().module(x[2000:])[0], answer)


def test_auto_withstands_typing_errors_that_ruin_the_squared_error() -> None:
    """Diabetes progression (scikit-learn), 5% of the training targets with two digits too many; 5 seeds."""
    from sklearn.datasets import load_diabetes

    data, target = load_diabetes(return_X_y=True)
    column = signature(Column(name="progression", kind="numeric"))
    errors: dict[str, list[float]] = {"mse": [], "auto": []}
    for seed in range(5):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(data))
        train, test = order[:300], order[300:]
        x = torch.from_numpy((data - data[train].mean(0)) / data[train].std(0)).float()
        y = torch.from_numpy(target).float()[:, None]
        noisy = y[train].clone()
        noisy[rng.choice(300, 15, replace=False)] *= 100
        statistics = ([float(noisy.mean())], [float(noisy.std())])
        for name, chosen in (("mse", loss("mse")), ("auto", "auto")):
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                model = MLP(10, 1, hidden=(16,))
            one = Regression(model, column, target_statistics=statistics, loss=chosen, tails=tails(noisy))
            assert one.loss.name == ("huber" if name == "auto" else "mse")
            fitted(one, {"x": x[train], "y": noisy})
            answer = one.evaluate({"x": x[test], "y": y[test]})["value"]
            errors[name].append((answer - y[test]).abs().mean().item())
    assert all(auto < 0.1 * mse for auto, mse in zip(errors["auto"], errors["mse"])), errors
    assert max(errors["auto"]) < 65, errors
    clean = Regression(MLP(10, 1), column, tails=tails(torch.from_numpy(target)))
    assert clean.loss.name == "mse", "without the errors there is no heavy tail"


def friedman(kind: str, rows: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, noisy targets and the truth of Friedman's first function (1991), scaled to standard deviation 1."""
    rng = np.random.default_rng(seed)
    x = rng.random((rows, 8))
    truth = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    truth = (truth - truth.mean()) / truth.std()
    noise = rng.standard_t(2, rows) if kind == "student t 2" else rng.standard_normal(rows)
    y = truth + 0.3 * noise
    if kind == "gross errors":
        wrong = rng.random(rows) < 0.05
        y[wrong] += rng.choice([-1, 1], wrong.sum()) * rng.uniform(10, 30, wrong.sum())
    x = (x - x.mean(0)) / x.std(0)
    return torch.from_numpy(x).float(), torch.from_numpy(y).float()[:, None], torch.from_numpy(truth).float()[:, None]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "low", "high"), [("normal", 0.95, 1.06), ("student t 2", 0, 0.9), ("gross errors", 0, 0.3)]
)
def test_huber_costs_nothing_without_outliers_and_pays_with_them(kind: str, low: float, high: float) -> None:
    """Ratio of the mean absolute errors to the truth, Huber's loss with the chosen delta to squared error, 4 seeds."""
    column, ratios = signature(Column(name="f", kind="numeric")), []
    for seed in range(4):
        x, y, truth = friedman(kind, 2400, seed)
        train = y[:1200]
        delta = min(1.0, tails(train)[0].spread)
        errors = []
        for component in (loss("huber", delta=delta), loss("mse")):
            torch.manual_seed(seed)
            statistics = ([float(train.mean())], [float(train.std())])
            one = Regression(MLP(8, 1, hidden=(64, 64)), column, target_statistics=statistics, loss=component)
            optimizer = torch.optim.AdamW(one.parameters(), lr=0.01)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=40 * 19)
            for _ in range(40):
                for rows in torch.randperm(1200).split(64):
                    optimizer.zero_grad()
                    next(one.step({"x": x[rows], "y": train[rows]})).value.backward()
                    optimizer.step()
                    schedule.step()
            answer = one.eval().evaluate({"x": x[1200:], "y": truth[1200:]})["value"]
            errors.append((answer - truth[1200:]).abs().mean().item())
        ratios.append(errors[0] / errors[1])
    assert low < np.mean(ratios) < high, ratios
