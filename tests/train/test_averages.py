"""Weighted means that wait for nothing and depend on nothing but what was added."""

from __future__ import annotations

import math

import pytest
import torch

from lamplighter.core.errors import TrainingError
from lamplighter.train.averages import Averages


def filled(drain_every: int) -> Averages:
    averages = Averages()
    generator = torch.Generator().manual_seed(0)
    for step in range(700):
        value = torch.rand((), generator=generator)
        averages.add("loss", value, torch.tensor(step % 7) if step % 2 else float(step % 7), step=step + 1)
        averages.add("extra", value * 2, 1, step=step + 1)
        if step % drain_every == 0:
            averages.drain()
    return averages


def test_means_are_weighted() -> None:
    averages = filled(10**9)
    generator = torch.Generator().manual_seed(0)
    values = [torch.rand((), generator=generator).item() for _ in range(700)]
    expected = sum(v * (i % 7) for i, v in enumerate(values)) / sum(i % 7 for i in range(700))
    assert averages.means()["loss"] == pytest.approx(expected, rel=1e-12)
    assert averages.means()["extra"] == pytest.approx(2 * sum(values) / 700, rel=1e-6)


def test_when_it_was_drained_does_not_matter() -> None:
    assert filled(1).means() == filled(13).means() == filled(10**9).means()


def test_the_state_goes_on_exactly() -> None:
    first, second = filled(5), Averages()
    second.load_state_dict(first.state_dict())
    for averages in (first, second):
        averages.add("loss", torch.tensor(0.123), 3, step=701)
    assert first.means() == second.means()


def test_what_has_no_weight_does_not_count() -> None:
    averages = Averages()
    averages.add("loss", torch.tensor(math.nan), 0, step=1)
    assert averages.means() == {}
    averages.add("loss", torch.tensor(1.0), 2, step=2)
    assert averages.means() == {"loss": 1.0}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_names_epoch_and_step(bad: float) -> None:
    averages = Averages()
    averages.reset(epoch=4)
    averages.add("loss", torch.tensor(1.0), 1, step=30)
    averages.add("loss", torch.tensor(bad), 1, step=31)
    averages.add("loss", torch.tensor(bad), 1, step=32)
    with pytest.raises(TrainingError, match=rf"epoch 4, step 31: the loss is {bad}; lower the learning rate"):
        averages.drain()


def test_reset_forgets() -> None:
    averages = filled(10**9)
    averages.reset(2)
    assert averages.means() == {}
