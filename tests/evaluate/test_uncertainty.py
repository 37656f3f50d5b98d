"""Monte Carlo dropout: dropout draws, BatchNorm does not move, and the spread says something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lamplighter.core.errors import LamplighterError
from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.data.rows import TensorRows
from lamplighter.evaluate.uncertainty import dropout_active, evaluate_mc_dropout, mc_dropout
from lamplighter.metrics.calibration import softmax
from lamplighter.models.mlp import MLP
from lamplighter.tasks.base import Task
from lamplighter.tasks.classification import Classification
from lamplighter.tasks.regression import Regression

NUMBERS = (Column(name="u", kind="numeric"), Column(name="v", kind="numeric"))
CLASSES = (Column(name="y", kind="category", categories=("a", "b", "c")),)


def build(kind: type[Task], dropout: float = 0.3, norm: Any = "batch") -> Any:
    targets = CLASSES if kind is Classification else NUMBERS
    signature = Signature(inputs=(), tensors=(TensorSpec(name="x", dtype="float32", shape=(4,)),), targets=targets)
    torch.manual_seed(0)
    model = MLP(4, len(targets) if kind is Regression else 3, hidden=(20,), norm=norm, dropout=dropout)
    for name, buffer in model.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 1.5)
    options: dict[str, Any] = {"target_statistics": ([5.0, 0.0], [2.0, 1.0])} if kind is Regression else {}
    return kind(model, signature, **options)  # type: ignore[call-arg]


def batch(kind: type[Task], rows: int = 40) -> dict[str, Tensor]:
    x = torch.randn(rows, 4, generator=torch.Generator().manual_seed(1))
    y = x[:, :3].argmax(1) if kind is Classification else torch.stack([5 + 2 * x[:, 0], x[:, 1]], dim=1)
    return {"x": x, "y": y}


@pytest.mark.parametrize("kind", [Classification, Regression])
def test_answers_vary_and_nothing_else_does(kind: type[Task]) -> None:
    task, rows = build(kind), batch(kind)
    rows["y"][3] = -1 if kind is Classification else torch.nan
    before = {name: tensor.clone() for name, tensor in task.state_dict().items()}
    modes = {name: module.training for name, module in task.named_modules()}
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    answers = mc_dropout(task, rows, samples=12, seed=3)
    assert torch.equal(torch.rand(1), expected)  # the global generator is where it was
    assert answers.shape == (12, 39, 3 if kind is Classification else 2)
    assert (answers.var(axis=0) > 0).mean() > 0.8  # a row may excite no unit at all
    assert np.array_equal(answers, mc_dropout(task, rows, samples=12, seed=3))
    assert not np.array_equal(answers, mc_dropout(task, rows, samples=12, seed=4))
    assert all(torch.equal(before[name], tensor) for name, tensor in task.state_dict().items())
    assert modes == {name: module.training for name, module in task.named_modules()}


def test_batchnorm_stays_in_evaluation() -> None:
    """The answer to a row does not depend on its neighbours: with the masks of its position it is the same alone."""
    task, rows = build(Classification), batch(Classification)
    with dropout_active(task) as active:
        assert active == ["model.body.3"]
        normed = task.model.body[1]
        assert not normed.training and task.model.body[3].training
        moved = {**rows, "x": torch.cat([rows["x"][:1], 100 + rows["x"][1:]])}
        with torch.inference_mode():
            torch.manual_seed(0)
            one = task.evaluate(rows)["logits"][0]
            torch.manual_seed(0)
            other = task.evaluate(moved)["logits"][0]
    torch.testing.assert_close(one, other)


def test_the_mean_approaches_that_of_very_many() -> None:
    """A linear head over dropped units is unbiased: logits average to those without dropout, as 1 / sqrt(samples)."""
    task, rows = build(Regression, norm="none"), batch(Regression)
    with torch.inference_mode():
        plain = task.eval().evaluate(rows)["value"].numpy()
    few, many = mc_dropout(task, rows, 5, seed=0), mc_dropout(task, rows, 400, seed=0)
    assert np.abs(many.mean(axis=0) - plain).mean() < np.abs(few.mean(axis=0) - plain).mean() / 4
    assert (np.abs(many.mean(axis=0) - plain) <= 5 * many.std(axis=0) / 400**0.5 + 1e-6).all()


@pytest.mark.parametrize(
    "layer",
    [
        nn.Dropout(0.5),
        nn.AlphaDropout(0.5),
        nn.FeatureAlphaDropout(0.5),
        type("DropPath", (nn.Module,), {"forward": lambda self, x: x * (0.5 if self.training else 1.0)})(),
    ],
)
def test_every_kind_of_dropout_counts(layer: nn.Module) -> None:
    network = nn.Sequential(nn.Linear(4, 4), layer, nn.BatchNorm1d(4)).eval()
    with dropout_active(network) as active:
        assert active == ["1"]
        assert [module.training for module in network] == [False, True, False]
    assert not layer.training


def test_attention_and_recurrence_hold_their_dropout_as_a_number() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attend = nn.MultiheadAttention(4, 2, dropout=0.4, batch_first=True)
            self.recur = nn.LSTM(4, 4, num_layers=2, dropout=0.4, batch_first=True)
            self.plain = nn.MultiheadAttention(4, 2, batch_first=True)

    network = Two().eval()
    x = torch.randn(2, 5, 4)
    with dropout_active(network) as active, torch.no_grad():
        assert active == ["attend", "recur"]
        assert not torch.equal(network.attend(x, x, x)[0], network.attend(x, x, x)[0])
        assert not torch.equal(network.recur(x)[0], network.recur(x)[0])
        assert not network.plain.training and not network.attend.out_proj.training


@pytest.mark.parametrize("make", [lambda: nn.Linear(2, 2), lambda: nn.Sequential(nn.Dropout(0.0), nn.Linear(2, 2))])
def test_a_network_without_dropout_is_refused(make: Callable[[], nn.Module]) -> None:
    with pytest.raises(LamplighterError, match="needs a network with dropout"), dropout_active(make()):
        pass


def test_a_split_is_judged_by_the_mean_answer() -> None:
    task, every = build(Classification), batch(Classification, 50)
    every["y"][[4, 20]] = -1
    scores, spread = evaluate_mc_dropout(task, TensorRows(every), 10, 16, torch.device("cpu"), seed=2)
    assert scores["accuracy"].n == 48
    assert 0 < spread["mutual_information"] < spread["entropy"] and spread["variance"] > 0
    again, _ = evaluate_mc_dropout(task, TensorRows(every), 10, 16, torch.device("cpu"), seed=2)
    assert again == scores
    whole = mc_dropout(task, every, 150)
    y = every["y"][every["y"] >= 0].numpy()
    many, _ = evaluate_mc_dropout(task, TensorRows(every), 150, 16, torch.device("cpu"))
    expected = -np.log(whole.mean(axis=0)[np.arange(48), y]).mean()
    assert many["loss"].value == pytest.approx(expected, rel=0.05)  # other masks, so not equal
    numbers, deviation = evaluate_mc_dropout(
        build(Regression), TensorRows(batch(Regression)), 10, 16, torch.device("cpu")
    )
    assert set(deviation) == {"variance"} and deviation["variance"] > 0 and numbers["mae"].n == 40


@pytest.mark.parametrize("seed", range(3))
def test_disagreement_grows_away_from_the_training_rows(seed: int) -> None:
    """Trained on two clusters, the network is unsure about places where it never saw a row."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(300, 2, generator=rng) * 0.3 + torch.tensor([1.0, 0.0])
    y = (torch.rand(300, generator=rng) > 0.5).long()
    x[y == 1, 0] -= 2.0
    signature = Signature(inputs=(), tensors=(TensorSpec(name="x", dtype="float32", shape=(2,)),),
                          targets=(Column(name="y", kind="category", categories=("a", "b")),))  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        task = Classification(MLP(2, 2, hidden=(64, 64), dropout=0.2), signature)
        optimizer = torch.optim.Adam(task.parameters(), lr=0.01)
        task.train()
        for _ in range(150):
            optimizer.zero_grad()
            next(task.step({"x": x, "y": y})).value.backward()
            optimizer.step()
    near = mc_dropout(task, {"x": x, "y": y}, 50)
    between = {"x": torch.tensor([[0.0, 3.0], [0.0, -3.0], [0.0, 0.0]]), "y": torch.zeros(3, dtype=torch.long)}
    far = mc_dropout(task, between, 50)
    assert far.var(axis=0).sum(axis=-1).min() > 10 * near.var(axis=0).sum(axis=-1).mean()
    assert np.allclose(near.sum(axis=2), 1) and softmax(np.zeros((1, 2))).shape == (1, 2)
