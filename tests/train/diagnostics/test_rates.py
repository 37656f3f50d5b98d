"""Three rates from one start: diverged, good, too slow, as on the problem of the source text."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.data.rows import TensorRows
from lamplighter.tasks.regression import Regression
from lamplighter.train.diagnostics.rates import compare_rates, weights_hash
from lamplighter.train.trainer import Trainer

Make = Callable[..., Any]
PLAIN = {"name": "sgd", "lr": 0.01, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}


@pytest.fixture
def noise_regression(make_trainer: Make) -> Callable[[int], Trainer]:
    """A linear model of 10 inputs on 100 rows, all in one batch, targets of pure noise: topic 10's problem."""

    def make(seed: int) -> Trainer:
        torch.manual_seed(seed)
        rows = TensorRows({"x": torch.randn(100, 10), "y": torch.randn(100, 1)})
        signature = Signature(
            inputs=(Column(name="x", kind="array", shape=(10,)),),
            tensors=(TensorSpec(name="x", dtype="float32", shape=(10,)),),
            targets=(Column(name="y", kind="numeric"),),
        )
        task = Regression(nn.Linear(10, 1), signature)
        return make_trainer(task=task, train=rows, val=rows, settings={"optimizer": PLAIN}, batch_size=100)

    return make


def test_the_three_rates_of_the_source_text(noise_regression: Make) -> None:
    """10 diverges within the first of 100 steps, 0.01 comes near the least-squares loss, 1e-5 hardly moves."""
    for seed in range(3):
        trainer = noise_regression(seed)
        found = compare_rates(trainer, [10.0, 0.01, 1e-5], steps=100)
        assert [rate.verdict for rate in found.rates] == ["diverged", "good", "too slow"]
        high, good, low = found.rates
        assert len(high.losses) <= 14 and "diverged after" in high.reason
        x, y = trainer.loader.rows.tensors["x"], trainer.loader.rows.tensors["y"]
        with_one = torch.cat([x, torch.ones(100, 1)], dim=1)
        floor = float((y - with_one @ torch.linalg.lstsq(with_one, y).solution).square().mean())
        assert floor < good.losses[-1] < 1.05 * floor + 0.05
        assert 0 < low.gained < 6e-3
        assert len(low.losses) == len(good.losses) == len(found.untrained) == 100


def test_all_rates_begin_with_the_same_weights_and_batches(make_trainer: Make) -> None:
    trainer = make_trainer(settings={"optimizer": PLAIN})
    found = compare_rates(trainer, [0.3, 0.1, 0.01], steps=20)
    assert found.weights == weights_hash(trainer.task) and len(found.weights) == 12
    assert len({rate.losses[0] for rate in found.rates}) == 1
    assert found.untrained[0] == found.rates[0].losses[0]
    assert found.rates[0].losses[1] != found.rates[1].losses[1]


def test_a_rate_that_is_too_high_but_does_not_explode(noise_regression: Make) -> None:
    """Just above the critical rate the steepest direction swings for long: worse than the good rate, yet finite."""
    trainer = noise_regression(0)
    rows = trainer.loader.rows.tensors
    with_one = torch.cat([rows["x"], torch.ones(100, 1)], dim=1)
    critical = 2 / float(torch.linalg.eigvalsh(2 * with_one.T @ with_one / 100).max())
    found = compare_rates(trainer, [1.015 * critical, 0.5 * critical], steps=60)
    assert [rate.verdict for rate in found.rates] == ["too high", "good"]


def test_rates_that_are_all_too_slow_are_not_called_good(noise_regression: Make) -> None:
    found = compare_rates(noise_regression(0), [1e-6, 1e-7], steps=30)
    assert [rate.verdict for rate in found.rates] == ["too slow", "too slow"]


def test_the_hash_sees_every_weight() -> None:
    layer = nn.BatchNorm1d(3)
    before = weights_hash(layer)
    layer.running_var[2] += 1e-6
    assert weights_hash(layer) != before


def test_the_trainer_is_left_as_it_was(make_trainer: Make, everything: Make) -> None:
    trainer = make_trainer()
    before = everything(trainer)
    found = compare_rates(trainer, [1e30, 1e-3], steps=5)
    assert everything(trainer) == before
    json.dumps(found.to_dict(), allow_nan=False)
