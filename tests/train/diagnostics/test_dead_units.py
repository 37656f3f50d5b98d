"""Units without slope are found, whoever computes the activation; units with slope are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lamplighter.train.diagnostics.dead_units import dead_units

Make = Callable[..., Any]


def with_biases(model: nn.Sequential, layer: int, units: int, value: float) -> nn.Sequential:
    """Push the first units of a layer so far that no input brings them back."""
    with torch.no_grad():
        model[layer].bias[:units] = value
    return model


def net(activation: nn.Module, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, 16), activation, nn.Linear(16, 10))


@pytest.mark.parametrize(
    "activation, bias, name",
    [
        (nn.ReLU(), -50.0, "relu"),
        (nn.ReLU(inplace=True), -50.0, "relu"),
        (nn.ReLU6(), 50.0, "hardtanh"),
        (nn.Sigmoid(), -50.0, "sigmoid"),
        (nn.Sigmoid(), 50.0, "sigmoid"),
        (nn.Tanh(), 50.0, "tanh"),
        (nn.GELU(), -50.0, "gelu"),
        (nn.SiLU(), -50.0, "silu"),
        (nn.SiLU(inplace=True), -50.0, "silu"),
        (nn.ELU(), -50.0, "elu"),
        (nn.Hardswish(), -50.0, "hardswish"),
        (nn.Mish(), -50.0, "mish"),
        (nn.Softplus(), -50.0, "softplus"),
    ],
)
def test_five_units_that_cannot_react(
    activation: nn.Module, bias: float, name: str, classify: Make, noise: Make
) -> None:
    (found,) = dead_units(classify(with_biases(net(activation), 0, 5, bias)), [noise(256)])
    assert (found.function, found.units, found.dead) == (name, 16, 5)
    assert found.share == 5 / 16
    assert found.layer == "model.1"
    (alive,) = dead_units(classify(net(activation)), [noise(256)])
    assert alive.dead == 0


def test_leaky_units_never_die(classify: Make, noise: Make) -> None:
    for activation in (nn.LeakyReLU(), nn.PReLU()):
        (found,) = dead_units(classify(with_biases(net(activation), 0, 5, -50.0)), [noise(256)])
        assert found.dead == 0


def test_the_share_of_flat_values_is_counted_exactly(classify: Make, noise: Make) -> None:
    model, batches = net(nn.ReLU()), [noise(100), noise(50, seed=1)]
    (found,) = dead_units(classify(model), batches)
    off = sum(int((model[0](batch["x"]) <= 0).sum()) for batch in batches)
    assert found.flat == pytest.approx(off / (150 * 16), rel=1e-12)


def test_a_unit_that_fires_once_in_all_batches_is_alive(classify: Make) -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 10))
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[0].bias.zero_()
    batches = [{"x": torch.full((9, 1), value), "y": torch.zeros(9, dtype=torch.long)} for value in (0.5, -1.0, -2.0)]
    assert dead_units(classify(model), batches[1:])[0].dead == 1
    assert dead_units(classify(model), batches)[0].dead == 0


class Functional(nn.Module):
    """Activations called as functions and methods, one module twice."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two, self.three = nn.Linear(64, 8), nn.Linear(8, 8), nn.Linear(8, 10)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.one(x)).tanh()
        x = torch.relu(self.two(self.act(x)))
        return self.three(self.act(x))


def test_functions_and_methods_are_seen_and_named_by_their_module(classify: Make, noise: Make) -> None:
    found = dead_units(classify(Functional()), [noise(128), noise(128, seed=1)])
    assert [(each.layer, each.function) for each in found] == [
        ("model", "gelu"),
        ("model (call 2)", "tanh"),
        ("model.act", "relu"),
        ("model (call 3)", "relu"),
        ("model.act (call 2)", "relu"),
    ]
    json.dumps([each.to_dict() for each in found])


def test_units_of_images_are_channels_and_units_of_tokens_are_features(classify: Make) -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embed, self.act, self.head = nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.act(self.embed(x.unflatten(1, (5, 4)))).mean(1))

    torch.manual_seed(0)
    images = nn.Sequential(
        nn.Unflatten(1, (1, 4, 5)), nn.Conv2d(1, 7, 3), nn.BatchNorm2d(7), nn.ReLU(), nn.Flatten(), nn.Linear(42, 10)
    )
    with torch.no_grad():
        images[2].bias[:3] = -50.0
    batch = {"x": torch.randn(64, 20), "y": torch.zeros(64, dtype=torch.long)}
    assert [(each.units, each.dead) for each in dead_units(classify(images), [batch])] == [(7, 3)]
    assert [each.units for each in dead_units(classify(Tokens()), [batch])] == [12]


def test_the_task_is_left_as_it_was(deep: Make, noise: Make, everything: Make) -> None:
    task = deep("sigmoid norm", depth=3).eval()
    before = everything(task)
    dead_units(task, [noise(32)])
    assert everything(task) == before
