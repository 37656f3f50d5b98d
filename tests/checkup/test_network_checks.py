"""From measurements of a network to verdicts."""

from __future__ import annotations

import pytest
from torch import nn

from lamplighter.checkup.network_checks import _dead, _gradients, summary
from lamplighter.train.diagnostics.dead_units import DeadUnits
from lamplighter.train.diagnostics.gradient_flow import GradientFlow, LayerGradient


def layer(name: str, update: float | None = None) -> LayerGradient:
    return LayerGradient(name, "Linear", "main", 1.0, 0.5, update)


def test_parts_are_counted() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 2), nn.ReLU()))
    net[0].requires_grad_(False)
    assert summary(net) == {"parameters": 26, "trained": 10, "layers": {"Linear": 2, "ReLU": 2}}  # type: ignore[arg-type]


@pytest.mark.parametrize("verdict, level", [("vanishing", "look"), ("exploding", "look"), ("dead", "wrong")])
def test_gradients_that_are_not_ok(verdict: str, level: str) -> None:
    flow = GradientFlow((layer("a"),), {}, verdict, ("something",))  # type: ignore[arg-type]
    assert (_gradients(flow).level, _gradients(flow).text) == (level, "something")


def test_steps_that_replace_weights_are_worth_a_look() -> None:
    flow = GradientFlow((layer("a", 0.001), layer("b", 0.5), layer("c", 0.2)), {"main": 1.0}, "ok", ())
    check = _gradients(flow)
    assert check.level == "look" and "changes b by 50%" in check.text
    calm = GradientFlow((layer("a", 0.001), layer("b", None)), {"main": 0.9}, "ok", ())
    assert _gradients(calm).level == "ok" and "first over last: 0.9" in _gradients(calm).text


@pytest.mark.parametrize("dead, level", [(0, "ok"), (7, "ok"), (8, "look"), (16, "wrong")])
def test_dead_units_by_their_share(dead: int, level: str) -> None:
    check = _dead((DeadUnits("x", "relu", 16, 0, 0.5), DeadUnits("y", "relu", 16, dead, 0.5)), 100)
    assert check.level == level
    if level != "ok":
        assert "y" in check.text and "x " not in check.text.replace("next ", "")


def test_a_network_without_activations() -> None:
    assert _dead((), 100).level == "ok"
