"""A whole split through a task."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from lamplighter.core.errors import DataError, InterruptedRunError
from lamplighter.models.mlp import MLP
from lamplighter.train.evaluation import evaluate
from lamplighter.train.precision import Precision
from lamplighter.train.signals import StopRequest

CPU = torch.device("cpu")
Make = Callable[..., Any]


def test_every_row_once_and_in_order(make_task: Make, rows: Make) -> None:
    task, data = make_task(), rows(70)
    outputs, positions = evaluate(task, data, 32, CPU)
    with torch.inference_mode():
        expected = task.eval().model(data.tensors["x"])
    np.testing.assert_allclose(outputs["logits"], expected.numpy(), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(outputs["y"], data.tensors["y"].numpy())
    np.testing.assert_array_equal(positions, np.arange(70))


def test_positions_skip_rows_without_a_target(make_task: Make, rows: Make) -> None:
    data = rows(70)
    blank = [0, 31, 32, 69]
    data.tensors["y"][blank] = -1
    outputs, positions = evaluate(make_task(), data, 32, CPU)
    np.testing.assert_array_equal(positions, np.setdiff1d(np.arange(70), blank))
    np.testing.assert_array_equal(outputs["y"], data.tensors["y"].numpy()[positions])


def test_no_target_at_all_is_an_error(make_task: Make, rows: Make) -> None:
    data = rows(10)
    data.tensors["y"][:] = -1
    with pytest.raises(DataError, match="no row of this split has a target"):
        evaluate(make_task(), data, 4, CPU)


def test_mode_and_statistics_stay(make_task: Make, rows: Make) -> None:
    task = make_task(model=MLP(6, 3, hidden=(8,), norm="batch", dropout=0.5))
    before = {name: tensor.clone() for name, tensor in task.state_dict().items()}
    task.train()
    first, _ = evaluate(task, rows(40), 16, CPU)
    again, _ = evaluate(task, rows(40), 40, CPU)
    assert task.training
    np.testing.assert_allclose(first["logits"], again["logits"], atol=1e-6)
    assert all(torch.equal(tensor, before[name]) for name, tensor in task.state_dict().items())


def test_sixteen_bits_give_float32_logits_that_are_close(make_task: Make, rows: Make) -> None:
    exact, _ = evaluate(make_task(), rows(40), 16, CPU)
    rounded, _ = evaluate(make_task(), rows(40), 16, CPU, Precision("bf16", False))
    assert rounded["logits"].dtype == np.float32
    difference = np.abs(exact["logits"] - rounded["logits"]).max()
    assert 0 < difference < 0.1


def test_a_signal_ends_it(make_task: Make, rows: Make) -> None:
    stop = StopRequest()
    stop.signum = signal.SIGINT
    with pytest.raises(InterruptedRunError):
        evaluate(make_task(), rows(40), 16, CPU, stop=stop)
