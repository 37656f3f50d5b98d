"""The range test: leaves no trace, stops when it must, suggests what trains, and refuses noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lamplighter.core.errors import TrainingError
from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.data.rows import TensorRows
from lamplighter.data.source import Batch
from lamplighter.models.mlp import MLP
from lamplighter.tasks.base import Loss, Task
from lamplighter.tasks.regression import Regression
from lamplighter.train.lr_curve import RULES
from lamplighter.train.lr_finder import MAX_LR, MIN_LR, STEPS, find_lr
from lamplighter.train.precision import Precision
from lamplighter.train.trainer import Trainer

Make = Callable[..., Any]
PLAIN = {"name": "sgd", "lr": 1.0, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
FEATURES = 10


def linear_problem(seed: int, rows: int, noise: float, signal: float) -> tuple[TensorRows, TensorRows, float]:
    """y = x w + noise; training rows, validation rows, and the rate above which full-batch descent diverges."""
    draws = torch.Generator().manual_seed(seed)
    w = signal * torch.randn(FEATURES, 1, generator=draws)
    x = torch.randn(rows + 100, FEATURES, generator=draws)
    y = x @ w + noise * torch.randn(len(x), 1, generator=draws)
    hessian = 2 * (x[:rows].T @ x[:rows] / rows).double().numpy()
    critical = 2 / float(np.linalg.eigvalsh(hessian).max())
    return TensorRows({"x": x[:rows], "y": y[:rows]}), TensorRows({"x": x[rows:], "y": y[rows:]}), critical


@pytest.fixture
def regression(make_trainer: Make) -> Make:
    """``regression(seed, rows, noise, signal, batch_size, net=..., optimizer=...)`` -> trainer, critical rate."""
    signature = Signature(
        inputs=(Column(name="x", kind="array", shape=(FEATURES,)),),
        tensors=(TensorSpec(name="x", dtype="float32", shape=(FEATURES,)),),
        targets=(Column(name="y", kind="numeric"),),
    )

    def make(
        seed: int,
        rows: int,
        noise: float,
        signal: float,
        batch_size: int,
        net: str = "linear",
        optimizer: dict[str, Any] = PLAIN,
    ) -> tuple[Trainer, float]:
        torch.manual_seed(seed)
        train, val, critical = linear_problem(seed, rows, noise, signal)
        network = nn.Linear(FEATURES, 1) if net == "linear" else MLP(FEATURES, 1, hidden=(64,))
        trainer = make_trainer(
            task=Regression(network, signature),
            train=train,
            val=val,
            settings={"optimizer": optimizer, "schedule": {"name": "constant"}},
            batch_size=batch_size,
            seed=seed,
        )
        return trainer, critical

    return make


# It finds what it should.


@pytest.mark.parametrize("rows, batch_size, noise", [(200, 200, 0.5), (1000, 100, 0.5)])
def test_steep_and_min_are_within_a_tenth_of_the_critical_rate(
    rows: int, batch_size: int, noise: float, regression: Make
) -> None:
    """Linear regression with signal, full batches and small ones, six seeds each: [critical / 10, critical]."""
    for seed in range(6):
        trainer, critical = regression(seed, rows, noise, 1.0, batch_size)
        curve = find_lr(trainer)
        for rule in ("steep", "min/10"):
            assert critical / 10 <= curve.suggestions[rule] <= critical, (rule, seed)
        assert curve.rule == "steep"
        assert curve.chosen == float(f"{curve.suggestions['steep']:.2g}")
        assert curve.ended.startswith("the loss had risen to 4 times its best")


def test_every_rule_can_choose(regression: Make) -> None:
    chosen = {rule: find_lr(regression(0, 200, 0.5, 1.0, 200)[0], rule=rule) for rule in RULES}
    for rule, curve in chosen.items():
        assert curve.chosen == float(f"{curve.suggestions[rule]:.2g}")
    assert len({curve.chosen for curve in chosen.values()}) == 3


def test_the_sweep_goes_from_the_first_to_the_last_rate_exactly(make_trainer: Make) -> None:
    trainer = make_trainer()
    curve = find_lr(trainer, min_lr=3e-7, max_lr=2e-5, steps=33)
    assert (curve.lrs[0], curve.lrs[-1], len(curve.lrs), len(curve.losses)) == (3e-7, 2e-5, 33, 33)
    assert curve.ended == "the last rate, 2e-05, was reached"


def test_a_sweep_that_ends_too_early_says_so(regression: Make) -> None:
    curve = find_lr(regression(0, 200, 0.1, 1.0, 200)[0], max_lr=0.05)
    assert "still falling at the highest rate tried, 0.05" in curve.reason


def test_few_rows_are_used_again(make_trainer: Make, rows: Make) -> None:
    """40 rows are two batches; a sweep of 65 steps goes over them in 33 orders."""
    trainer = make_trainer(train=rows(40))
    assert len(find_lr(trainer).losses) > 20
    assert trainer.loader.state_dict() == {"epoch": 0, "batch": 0}


# It leaves no trace. `everything` in conftest.py lists what a trainer consists of.


def test_training_afterwards_is_bit_for_bit_the_training_without(
    make_trainer: Make, weights: Make, make_task: Make, everything: Make, tmp_path: Path
) -> None:
    found = []
    for tried in (False, True):
        folder = tmp_path / str(tried)
        folder.mkdir()
        model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))
        with torch.no_grad():
            for number, parameter in enumerate(model.parameters()):
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
        settings = {"accumulate": 2, "clip": {"name": "norm"}, "callbacks": [{"name": "ema"}]}
        trainer = make_trainer(
            task=make_task(model=model), settings=settings, precision=Precision("bf16", False), folder=folder
        )
        if tried:
            before = everything(trainer)
            assert len(find_lr(trainer).losses) > 20
            after = everything(trainer)
            assert {key for key in before if before[key] != after[key]} == set()
            assert list(folder.iterdir()) == []
        trainer.fit()
        found.append((weights(trainer), trainer.state.metrics))
    (without, metrics), (with_, same_metrics) = found
    assert metrics == same_metrics
    assert all(torch.equal(without[name], with_[name]) for name in without)


# It stops, and it refuses.


class Broken(Task):
    """A loss that becomes NaN after some steps, or falls without end, or is noise."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.kind, self.count = kind, 0

    def step(self, batch: Batch) -> Iterator[Loss]:
        self.count += 1
        value = (self.weight - 1).square()
        if self.kind == "noise":
            value = 0 * value + 5 + torch.randn(())
        if self.kind == "nan" and self.count > 30:
            value = value * math.nan
        yield Loss(value, len(batch["x"]))


def test_a_nan_ends_the_test_at_once(make_trainer: Make) -> None:
    task = Broken("nan")
    curve = find_lr(make_trainer(task=task), against_shuffled=False)
    assert len(curve.losses) == 30
    assert curve.ended == f"the loss was nan at a rate of {MIN_LR * (MAX_LR / MIN_LR) ** (30 / (STEPS - 1)):.2g}"
    assert all(math.isfinite(loss) for loss in curve.losses)


def test_a_network_that_is_broken_from_the_start_is_refused(make_trainer: Make, make_task: Make) -> None:
    task = make_task()
    with torch.no_grad():
        task.model.head.bias[0] = math.nan
    curve = find_lr(make_trainer(task=task))
    assert (curve.chosen, curve.suggestions, curve.losses) == (None, {}, ())
    assert "not finite after 0 steps" in curve.reason


def test_a_task_without_targets_is_judged_by_its_fall_alone(make_trainer: Make) -> None:
    settings = {"optimizer": PLAIN}
    falls = find_lr(make_trainer(task=Broken("falls"), settings=settings))
    assert falls.chosen is not None and 0.01 < falls.chosen < 1, falls
    noise = find_lr(make_trainer(task=Broken("noise"), settings=settings))
    assert noise.chosen is None and "never falls further" in noise.reason


ADAMW = {"name": "adamw"}


@pytest.mark.parametrize(
    "rows, batch_size, net, optimizer",
    [(1000, 32, "linear", PLAIN), (100, 100, "linear", PLAIN), (1000, 64, "mlp", ADAMW), (200, 32, "mlp", PLAIN)],
)
def test_targets_that_are_noise_are_refused(
    rows: int, batch_size: int, net: str, optimizer: dict[str, Any], regression: Make
) -> None:
    """Fresh noise, noise learned by heart by the full batch, noise a network can fit: at most one in six passes."""
    curves = [find_lr(regression(seed, rows, 1.0, 0.0, batch_size, net, optimizer)[0]) for seed in range(6)]
    assert sum(curve.chosen is not None for curve in curves) <= 1
    for curve in curves:
        if curve.chosen is None:
            assert curve.suggestions == {}
            assert "never falls further" in curve.reason or "fits noise" in curve.reason


@pytest.mark.parametrize("rows, batch_size, net, optimizer", [(1000, 64, "linear", PLAIN), (1000, 64, "mlp", ADAMW)])
def test_half_signal_half_noise_is_not_refused(
    rows: int, batch_size: int, net: str, optimizer: dict[str, Any], regression: Make
) -> None:
    """R^2 of about 0.5, where one sweep is often too noisy and several are averaged."""
    curves = [find_lr(regression(seed, rows, 1.0, 0.3, batch_size, net, optimizer)[0]) for seed in range(6)]
    assert all(curve.chosen is not None for curve in curves)


def test_several_sweeps_see_different_batches_and_are_averaged(regression: Make) -> None:
    curve = find_lr(regression(1, 1000, 1.0, 0.0, 32)[0])
    one = find_lr(regression(1, 1000, 0.5, 1.0, 32)[0])
    assert (curve.sweeps, one.sweeps) == (4, 1)
    assert np.std(curve.losses[:20]) < 0.75 * np.std(find_lr_once(regression(1, 1000, 1.0, 0.0, 32)[0])[:20])


def find_lr_once(trainer: Trainer) -> list[float]:
    """One sweep of the finder."""
    from lamplighter.train.lr_curve import sweep
    from lamplighter.train.trial import trial

    with trial(trainer) as step:
        return [step(lr) for lr in sweep(MIN_LR, MAX_LR, STEPS)[:40]]


@pytest.mark.parametrize("wrong", [{"min_lr": 0.0}, {"min_lr": 1.0, "max_lr": 0.1}, {"steps": 10}])
def test_a_sweep_that_makes_no_sense_is_an_error(wrong: dict[str, Any], make_trainer: Make) -> None:
    with pytest.raises(TrainingError, match="a sweep needs"):
        find_lr(make_trainer(), **wrong)


def test_validation_rows_are_not_needed(make_trainer: Make, rows: Make) -> None:
    """Too few of them tell nothing; the fall of the loss decides alone."""
    assert find_lr(make_trainer(val=rows(8, seed=1))).chosen is not None
