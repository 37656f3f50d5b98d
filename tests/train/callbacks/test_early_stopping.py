"""Early stopping: the decision by hand, beside Lightning's on random sequences, and in whole runs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

import lamplighter as lamp
from lamplighter.core import registry
from lamplighter.core.errors import LamplighterError
from lamplighter.core.recipe import Recipe
from lamplighter.tasks.base import Task
from lamplighter.train.callbacks.base import State
from lamplighter.train.callbacks.early_stopping import EarlyStopping
from lamplighter.train.evaluation import evaluate

Mode = Literal["min", "max"]


def stop_after(callback: EarlyStopping, values: list[float], mode: Mode = "min", state: State | None = None) -> int:
    """The validation (from 1) after which training ends, or 0; one validation an epoch, ten steps each."""
    state = state or State(Task(), "loss", mode, len(values), steps_per_epoch=10)
    for index, value in enumerate(values, start=1):
        state.step += 10
        state.metrics = {"val/loss": value}
        callback.on_validation_end(state)
        state.epoch += 1
        if state.stop_reason:
            return index
    return 0


@pytest.mark.parametrize("patience", [1, 2, 5])
def test_best_at_e_stops_at_e_plus_patience(patience: int) -> None:
    values = [3.0, 2.0, 1.0] + [1.5] * 9
    assert stop_after(EarlyStopping(patience), values) == 3 + patience


def test_a_rising_accuracy_does_not_stop() -> None:
    values = [0.5 + i / 100 for i in range(25)]
    assert stop_after(EarlyStopping(1), values, "max") == 0
    assert stop_after(EarlyStopping(3), values, "min") == 4


def test_a_change_below_min_delta_is_no_improvement() -> None:
    values = [1.0, 0.99, 0.98, 0.97, 0.96]
    assert stop_after(EarlyStopping(3), values) == 0
    assert stop_after(EarlyStopping(3, min_delta=0.1), values) == 4
    assert stop_after(EarlyStopping(3, min_delta=0.025), values) == 0, "measured from the best, not the last"


def test_a_relative_delta_sees_that_a_tiny_loss_still_halves() -> None:
    halving = [1e-4 / 2**i for i in range(12)]
    assert stop_after(EarlyStopping(2, min_delta=1e-3), halving) == 3
    assert stop_after(EarlyStopping(2, min_delta=1e-3, relative=True), halving) == 0
    crawling = [1e-4 * 0.9999**i for i in range(12)]
    assert stop_after(EarlyStopping(2, min_delta=1e-3, relative=True), crawling) == 3
    negative = [-10.0, -10.05, -10.2, -10.25, -10.3]  # a log-likelihood: a share of |best|, so the sign is no matter
    assert stop_after(EarlyStopping(2, min_delta=0.01, relative=True), negative) == 5
    assert stop_after(EarlyStopping(2, min_delta=0.01, relative=True), [-v for v in negative], "max") == 5


def test_validations_of_the_warmup_count_in_no_way() -> None:
    lucky = [0.1, 5.0, 4.0, 3.0, 2.0, 1.0, 0.9]
    assert stop_after(EarlyStopping(2), lucky) == 3
    assert stop_after(EarlyStopping(2, warmup=1), lucky) == 0
    rising = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert stop_after(EarlyStopping(2, warmup=3), rising) == 6, "the first that counts is the fourth, then two waits"
    within = State(Task(), "loss", "min", 9, steps_per_epoch=20)  # two validations an epoch
    assert stop_after(EarlyStopping(1, warmup=1), [1.0, 2.0, 3.0, 4.0], state=within) == 4


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_stops_at_once_and_says_so(bad: float) -> None:
    for callback in (EarlyStopping(5), EarlyStopping(5, warmup=3)):
        state = State(Task(), "loss", "min", 9, steps_per_epoch=10)
        assert stop_after(callback, [bad], state=state) == 1
        assert state.stop_reason == f"validation loss is {bad} after step 10"


def test_without_the_check_a_value_that_is_not_finite_is_waited_for() -> None:
    nan = math.nan
    assert stop_after(EarlyStopping(2, check_finite=False), [nan, 1.0, nan, 0.9, nan, nan]) == 6
    assert stop_after(EarlyStopping(2, check_finite=False), [nan, nan, nan]) == 2


def test_thresholds_end_training_with_their_reason() -> None:
    state = State(Task(), "loss", "min", 9)
    assert stop_after(EarlyStopping(9, stopping_threshold=0.5), [0.7, 0.5, 0.4], state=state) == 3
    assert state.stop_reason == "validation loss 0.4 is better than the stopping threshold 0.5"
    assert stop_after(EarlyStopping(9, stopping_threshold=0.5), [0.4, 0.5, 0.6], "max") == 3
    state = State(Task(), "loss", "min", 9)
    assert stop_after(EarlyStopping(9, divergence_threshold=5.0), [4.0, 5.0, 5.1], state=state) == 3
    assert state.stop_reason == "validation loss 5.1 is worse than the divergence threshold 5"
    assert stop_after(EarlyStopping(9, divergence_threshold=0.1), [0.2, 0.1, 0.05], "max") == 3


def test_reasons_are_for_people() -> None:
    def reason(**options: Any) -> str | None:
        state = State(Task(), "loss", "min", 9)
        stop_after(EarlyStopping(**options), [2.0, 2.0, 2.0, 2.0], state=state)
        return state.stop_reason

    assert reason(patience=1) == "validation loss has not improved on 2 for 1 validation"
    assert reason(min_delta=0.01) == "validation loss has not improved on 2 by 0.01 for 3 validations"
    assert (
        reason(min_delta=0.1, relative=True) == "validation loss has not improved on 2 by 0.1 of it for 3 validations"
    )


@pytest.mark.parametrize("seed", range(5))
def test_500_random_sequences_stop_where_lightning_stops(seed: int) -> None:
    from pytorch_lightning.callbacks import EarlyStopping as Lightning

    rng = np.random.default_rng(seed)
    stopped = 0
    for _ in range(100):
        mode: Mode = rng.choice(["min", "max"])  # type: ignore[assignment]
        patience, delta = int(rng.integers(1, 12)), float(rng.choice([0.0, 0.001, 0.05]))
        values = (rng.random(40) / np.sqrt(1 + np.arange(40) * rng.random())).round(3)
        values[rng.random(40) < 0.01] = rng.choice([math.nan, math.inf])
        limits = {"stopping_threshold": 0.004, "divergence_threshold": 0.995}
        if mode == "max":
            limits = {"stopping_threshold": 0.995, "divergence_threshold": 0.004}
        oracle = Lightning("loss", min_delta=delta, patience=patience, mode=mode, **limits)
        expected = 0
        for index, value in enumerate(values, start=1):
            if oracle._evaluate_stopping_criteria(torch.tensor(value, dtype=torch.float64))[0]:
                expected = index
                break
        assert stop_after(EarlyStopping(patience, delta, **limits), values.tolist(), mode) == expected  # type: ignore[arg-type]
        stopped += expected > 0
    assert 20 < stopped <= 100


def test_a_resumed_patience_is_not_started_anew() -> None:
    first, second = EarlyStopping(3), EarlyStopping(3)
    assert stop_after(first, [1.0, 2.0, 2.0]) == 0
    second.load_state_dict(first.state_dict())
    assert stop_after(second, [2.0]) == 1


@pytest.mark.parametrize("params", [{"patience": 0}, {"min_delta": -1.0}, {"warmup": -1}, {"monitor": "loss"}])
def test_bad_parameters_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(LamplighterError, match=next(iter(params))):
        registry.build("callback", "early-stopping", params)


RECIPE = """
name: stops
threads: 1
data: {name: digits, batch_size: 32}
model: {name: mlp, hidden: [64]}
task: {name: classification}
train:
  epochs: 40
  precision: fp32
  optimizer: {name: adamw, lr: 0.02}
  schedule: {name: constant}
  monitor: {metric: loss, mode: min}
  callbacks: [{name: early-stopping, patience: 2}]
"""


def test_what_is_kept_after_the_stop_is_the_best_of_the_history_bit_for_bit(tmp_path: Path) -> None:
    run = lamp.fit(Recipe.parse(RECIPE), tmp_path / "run", progress=False)
    losses = [record["val/loss"] for record in run.history if record["event"] == "epoch"]
    best = int(np.argmin(losses))
    assert len(losses) == best + 1 + 2 < 40, "two validations after the best one"
    (stop,) = [record for record in run.history if record["event"] == "stop"]
    assert stop["reason"].startswith("validation loss has not improved on ")
    task, rows = run.task(), run.source().split("val")
    outputs, _ = evaluate(task, rows, 64, torch.device("cpu"))
    assert task.metrics(outputs)["loss"] == min(losses)
