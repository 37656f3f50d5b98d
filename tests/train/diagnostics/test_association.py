"""What holds for new rows passes; what was learned from shuffled targets does not, at the stated rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from lamplighter.core.errors import TrainingError
from lamplighter.data.rows import TensorRows
from lamplighter.tasks.base import Task
from lamplighter.train.diagnostics.association import ALPHA, held_against_shuffles, learns_something, some_rows

Make = Callable[..., Any]
SGD = {"optimizer": {"name": "sgd", "lr": 0.1}}


def shuffled(rows: TensorRows, seed: int) -> TensorRows:
    """The same inputs with the targets of other rows."""
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    return TensorRows({"x": rows.tensors["x"], "y": rows.tensors["y"][order]})


def test_a_network_that_learns_passes(make_trainer: Make) -> None:
    found = learns_something(make_trainer(settings=SGD), steps=60)
    assert found.real and found.p_value == 1 / 200
    assert found.loss < 0.7 < 1.1 < found.shuffled_loss
    assert (found.rows, found.steps) == (64, 60)


@pytest.mark.parametrize("where", ["train", "both"])
def test_shuffled_targets_are_flagged(where: str, make_trainer: Make, rows: Make) -> None:
    """Shuffled in training only (labels mixed up in one file), or everywhere; learned by heart after 150 steps."""
    for seed in range(4):
        train, val = shuffled(rows(200), seed), rows(64, seed=1)
        trainer = make_trainer(train=train, val=val if where == "train" else shuffled(val, seed), settings=SGD)
        found = learns_something(trainer, steps=150)
        assert not found.real, (where, seed)
        assert "belong to" in found.reason


class Guess(Task):
    """Judges given logits."""

    def metrics(self, outputs: dict[str, np.ndarray]) -> dict[str, float]:
        logits = outputs["logits"]
        chosen = logits[np.arange(len(logits)), outputs["y"]]
        return {"loss": float((np.log(np.exp(logits).sum(1)) - chosen).mean())}


def test_chance_passes_at_the_stated_rate() -> None:
    """Answers that have nothing to do with the targets, 400 times: p-values are spread evenly, about 1% below 0.01."""
    p_values = []
    for seed in range(400):
        draws = np.random.default_rng(seed)
        outputs = {"logits": draws.normal(size=(40, 3)), "y": draws.integers(0, 3, 40)}
        p_values.append(held_against_shuffles(Guess(), outputs, 0, seed).p_value)
    assert np.mean(np.array(p_values) <= ALPHA) <= 0.02
    assert 0.4 < np.mean(np.array(p_values) <= 0.5) < 0.6


@pytest.mark.parametrize("gain, real", [(0.0, False), (0.5, False), (3.0, True)])
def test_answers_have_to_beat_a_constant_one(gain: float, real: bool) -> None:
    """Right more often than chance, but far too sure where wrong: no better than saying each class's share."""
    draws = np.random.default_rng(0)
    y = draws.integers(0, 3, 500)
    logits = draws.normal(scale=0.1 if real else 2.0, size=(500, 3))
    logits[np.arange(500), y] += gain
    found = held_against_shuffles(Guess(), {"logits": logits, "y": y}, 0, 0)
    assert found.constant_loss == pytest.approx(np.log(3), rel=0.01)
    assert (found.real, found.loss < found.constant_loss) == (real, real)
    assert (found.p_value <= ALPHA) == (gain > 0)


def test_it_trains_at_the_rate_it_is_told(make_trainer: Make) -> None:
    assert not learns_something(make_trainer(settings=SGD), steps=30, lr=1e-9).real
    with pytest.raises(TrainingError, match=r"the loss is .* at a learning rate of 1e"):
        learns_something(make_trainer(settings=SGD), steps=30, lr=1e30)


def test_at_most_a_thousand_rows_are_looked_at(rows: Make) -> None:
    many = rows(5000)
    some = some_rows(many, seed=3)
    assert len(some) == 1000
    values = some.fetch(np.arange(1000))["x"][:, 0]
    assert len(values.unique()) == 1000
    assert torch.isin(values, many.tensors["x"][:, 0]).all()
    assert some_rows(rows(64), seed=3).fetch(np.arange(64))["x"].shape == (64, 6)


def test_a_task_without_targets_is_refused(make_task: Make) -> None:
    with pytest.raises(TrainingError, match="no targets to shuffle"):
        held_against_shuffles(make_task(), {"value": np.zeros(3)}, 0, 0)


@pytest.mark.parametrize("sums", ["nll", "log_loss"])
def test_a_loss_that_was_summed_up_before_is_no_evidence(sums: str, make_task: Make) -> None:
    """Shuffling ``y`` could not change it, and every network would seem no better than chance."""
    with pytest.raises(TrainingError, match="sums its loss up"):
        held_against_shuffles(make_task(), {sums: np.ones(3), "y": np.arange(3)}, 0, 0)


def test_the_trainer_is_left_as_it_was(make_trainer: Make, everything: Make) -> None:
    trainer = make_trainer(settings={"callbacks": [{"name": "early-stopping"}]})
    before = everything(trainer)
    learns_something(trainer, steps=10)
    assert everything(trainer) == before
