"""The recipe's rate beside a curve whose answers are known; time and memory that add up."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch

from lamplighter.checkup.training_checks import look_at_rate, measure_cost
from lamplighter.core.recipe import Recipe
from lamplighter.run import build_source, build_task
from lamplighter.train.lr_curve import LRCurve, smooth, sweep
from lamplighter.train.precision import Precision
from lamplighter.train.trainer import Trainer

LRS = sweep(1e-7, 10.0, 65)
LOSSES = [2.0] * 40 + [2.0 - 0.1 * step for step in range(14)] + [3.0]  # lowest at 0.42; diverged at 0.56
CURVE = LRCurve(
    lrs=tuple(LRS[:55]),
    losses=tuple(LOSSES),
    smoothed=tuple(smooth(LOSSES)),
    suggestions={"steep": 0.1},
    rule="steep",
    chosen=0.1,
    reason="where the loss falls fastest",
    ended=f"the loss had risen to 4 times its best at a rate of {LRS[54]:.2g}",
)


@pytest.mark.parametrize(
    "lr, level, said",
    [
        (0.1, "ok", "0.1; the range test takes 0.1"),
        (0.01, "ok", "0.01; the range test takes 0.1"),
        (0.5, "look", "0.5 is above 0.42, where the loss was lowest"),
        (1.0, "wrong", "1 is above 0.56, where the loss had risen to 4 times its best"),
        (1e-3, "look", "0.001 is 100 times lower than the range test takes"),
        (None, "ok", "auto takes 0.1, where the loss falls fastest"),
    ],
)
def test_where_the_rate_stands_on_the_curve(lr: float | None, level: str, said: str) -> None:
    check = look_at_rate(lr, CURVE)
    assert (check.name, check.level) == ("learning rate", level)
    assert check.text.startswith(said), check.text


def test_a_sweep_that_did_not_diverge_condemns_no_rate() -> None:
    calm = dataclasses.replace(CURVE, ended="the last rate, 0.56, was reached")
    assert look_at_rate(2.0, calm).level == "look"


def test_without_a_suggestion_auto_fails_and_a_number_may_still_do() -> None:
    refused = dataclasses.replace(CURVE, chosen=None, suggestions={}, reason="it fits noise")
    assert look_at_rate(None, refused).level == "wrong"
    assert look_at_rate(0.1, refused).level == "look"
    assert "it fits noise" in look_at_rate(0.1, refused).text


def test_memory_is_counted_to_the_byte(table: Callable[..., Recipe], tmp_path: object) -> None:
    recipe = table()
    source = build_source(recipe)
    trainer = Trainer(
        build_task(recipe, source),
        source.split("train"),
        source.split("val"),
        settings=recipe.train,
        batch_size=32,
        seed=0,
        precision=Precision("fp32", False),
        device=torch.device("cpu"),
        folder=tmp_path,  # type: ignore[arg-type]
    )
    cost = measure_cost(trainer)
    parameters = sum(p.numel() for p in trainer.task.parameters())
    tensors = len(list(trainer.task.parameters()))
    assert cost.optimizer_bytes == 4 * (2 * parameters + tensors), (
        "two moments for each weight, a count for each tensor"
    )
    assert cost.weight_bytes == sum(t.numel() * t.element_size() for t in trainer.task.state_dict().values())
    assert cost.epoch_seconds > 14 * cost.step_seconds, "14 steps and a validation"
    assert not trainer.optimizers["main"].state, "the steps are taken back"
