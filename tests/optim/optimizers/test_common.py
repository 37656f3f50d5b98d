"""Which parameters of optimizers are refused, and when torch's one kernel is taken."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from lamplighter.core import registry
from lamplighter.core.errors import LamplighterError
from lamplighter.core.recipe import Recipe
from lamplighter.optim.optimizers.common import fused


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("adamw", {"betas": [0.9]}),
        ("adamw", {"betas": [0.9, 1.0]}),
        ("adamw", {"weight_decay": -1}),
        ("adamw", {"eps": 0}),
        ("sgd", {"momentum": 1.0}),
        ("sgd", {"nesterov": "no"}),
        ("proximal-sgd", {"l1": -0.1}),
        ("adafactor", {"beta2_decay": 0.8}),
        ("muon", {"adjust_lr": "spectral"}),
        ("muon", {"ns_steps": 0}),
    ],
)
def test_bad_parameters_are_refused(name: str, params: dict[str, Any]) -> None:
    with pytest.raises(LamplighterError, match=next(iter(params))):
        registry.build("optimizer", name, params, {"params": [{"params": [nn.Parameter(torch.zeros(2))]}]})


def test_a_recipe_may_leave_the_rate_to_the_finder() -> None:
    text = "{name: a, data: {name: digits}, model: {name: mlp}, task: {name: classification}, train: {optimizer: %s}}"
    recipe = Recipe.parse(text % "{name: lion, lr: auto}")
    assert recipe.train.optimizer.params["lr"] == "auto"
    assert recipe.to_dict()["train"]["optimizer"] == {
        "name": "lion",
        "lr": "auto",
        "weight_decay": 0.1,
        "betas": [0.9, 0.99],
    }
    with pytest.raises(LamplighterError, match=r"train.optimizer.lr: must be a number above 0, or 'auto'.*, not 0$"):
        Recipe.parse(text % "{name: lion, lr: 0}")


def test_the_one_kernel_takes_floating_point_on_known_devices_only() -> None:
    cpu, meta = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2, device="meta"))
    assert fused([{"params": [cpu]}])
    assert not fused([{"params": [cpu]}, {"params": [meta]}])
    assert not fused([{"params": [cpu]}], devices=("cuda",))
