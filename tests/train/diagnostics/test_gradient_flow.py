"""Gradient norms are torch's; deep networks that cannot train are told from those that can."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lamplighter.data.source import Batch
from lamplighter.tasks.base import Loss, Task
from lamplighter.train.diagnostics.gradient_flow import gradient_flow, update_ratios

Make = Callable[..., Any]


def test_norms_are_those_of_autograd(classify: Make, noise: Make) -> None:
    torch.manual_seed(0)
    task = classify(nn.Sequential(nn.Linear(8, 5), nn.Tanh(), nn.Linear(5, 10))).double()
    batch = {"x": noise(16, 8)["x"].double(), "y": noise(16)["y"]}
    flow = gradient_flow(task, batch)
    matrices = [task.model[0].weight, task.model[2].weight]
    expected = torch.autograd.grad(F.cross_entropy(task.model(batch["x"]), batch["y"]), matrices)
    assert [layer.layer for layer in flow.layers] == ["model.0", "model.2"]
    for layer, gradient, weight in zip(flow.layers, expected, matrices):
        assert layer.gradient == pytest.approx(float(gradient.norm()), rel=1e-10)
        assert layer.weight == pytest.approx(float(weight.detach().norm()), rel=1e-10)
    assert flow.ratios["main"] == pytest.approx(float(expected[0].norm() / expected[1].norm()), rel=1e-10)


@pytest.mark.parametrize(
    "kind, low, high, verdict",
    [
        ("relu", 1e-9, 1e-5, "vanishing"),
        ("relu kaiming", 0.2, 1.0, "ok"),
        ("sigmoid", 1e-19, 1e-15, "vanishing"),
        ("sigmoid xavier", 1e-15, 1e-11, "vanishing"),
        ("tanh xavier", 0.3, 6.0, "ok"),
        ("sigmoid norm", 0.3, 4.0, "ok"),
        ("relu residual", 5e-3, 0.5, "ok"),
        ("relu kaiming norm", 3.0, 50.0, "ok"),
        ("relu kaiming times 3", 1e-2, 0.5, "exploding"),
    ],
)
def test_twenty_layers(kind: str, low: float, high: float, verdict: str, deep: Make, noise: Make) -> None:
    """First over last gradient, median of five seeds: who trains and who does not is as the literature has it."""
    flows = [gradient_flow(deep(kind, seed), noise(128)) for seed in range(5)]
    assert low < statistics.median(flow.ratios["main"] for flow in flows) < high
    assert {flow.verdict for flow in flows} == {verdict}
    assert all(bool(flow.findings) == (verdict != "ok") for flow in flows)
    assert [len(flow.layers) for flow in flows] == [21] * 5


def test_a_recurrent_network_that_explodes(noise: Make) -> None:
    """ReLU, 50 time steps, recurrent weights that stretch: gradients grow from the last step to the first."""

    class Recurrent(Task):
        def __init__(self, gain: float) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.net = nn.RNN(8, 32, nonlinearity="relu", batch_first=True)
            self.head = nn.Linear(32, 10)
            nn.init.orthogonal_(self.net.weight_hh_l0, gain=gain)

        def step(self, batch: Batch) -> Iterator[Loss]:
            last = self.net(batch["x"].reshape(len(batch["x"]), -1, 8))[0][:, -1]
            yield Loss(F.cross_entropy(self.head(last), batch["y"]), len(last))

    batch = noise(64, 50 * 8)
    assert gradient_flow(Recurrent(1.0), batch).verdict == "ok"
    flow = gradient_flow(Recurrent(3.0), batch)
    assert flow.verdict == "exploding" and "net" in flow.findings[0]


def test_the_layers_stand_in_the_order_in_which_they_compute(classify: Make, noise: Make) -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.first = nn.Linear(5, 10), nn.Linear(64, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.first(x))

    flow = gradient_flow(classify(Backwards()), noise(8))
    assert [layer.layer for layer in flow.layers] == ["model.first", "model.last"]


def test_a_dead_network_and_a_layer_that_takes_no_part(classify: Make, noise: Make) -> None:
    class Partly(nn.Module):
        def __init__(self, cut: bool) -> None:
            super().__init__()
            self.used, self.spare = nn.Linear(64, 10), nn.Linear(64, 10)
            self.cut = cut

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x) * (0.0 if self.cut else 1.0)

    dead = gradient_flow(classify(Partly(True)), noise(8))
    assert dead.verdict == "dead" and "does not depend" in dead.findings[0]
    spare = gradient_flow(classify(Partly(False)), noise(8))
    assert spare.verdict == "ok"
    assert spare.findings == ("model.spare takes no part in the loss and will not learn",)


def test_a_gradient_that_is_not_finite_is_named(classify: Make, noise: Make) -> None:
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 10))
    model[1].weight.data[0, 0] = float("inf")
    flow = gradient_flow(classify(model), noise(8))
    assert flow.verdict == "not finite" and "model.0" in flow.findings[0]
    json.dumps(flow.to_dict())


def test_frozen_layers_are_left_out(classify: Make, noise: Make) -> None:
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 10))
    model[0].requires_grad_(False)
    assert [layer.layer for layer in gradient_flow(classify(model), noise(8)).layers] == ["model.1"]


def test_each_phase_of_two_players_is_judged_by_its_own_gradients(noise: Make) -> None:
    """The second loss reaches the first player's network, too; that is not its gradient."""

    class Players(Task):
        optimizers = ("left", "right")

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.left, self.right = nn.Linear(64, 3), nn.Linear(3, 1)

        def step(self, batch: Batch) -> Iterator[Loss]:
            yield Loss(1e-6 * self.left(batch["x"]).square().mean(), 1, "left")
            yield Loss(1e6 * self.right(self.left(batch["x"])).square().mean(), 1, "right")

        def parameters_of(self, optimizer: str) -> Iterator[tuple[str, nn.Parameter]]:
            yield from getattr(self, optimizer).named_parameters(optimizer)

    flow = gradient_flow(Players(), noise(16))
    by_name = {layer.layer: layer for layer in flow.layers}
    assert by_name["left"].optimizer == "left" and by_name["left"].gradient < 1e-4
    assert by_name["right"].gradient > 1e3
    assert set(flow.ratios) == {"left", "right"}


def test_the_task_is_left_as_it_was(deep: Make, noise: Make, everything: Make) -> None:
    task = deep("sigmoid norm", depth=3).eval()
    task.model[0].weight.grad = torch.ones(64, 64)
    before = everything(task)
    gradient_flow(task, noise(32))
    assert everything(task) == before


def test_the_update_is_the_optimizers_own(make_trainer: Make, make_task: Make) -> None:
    """Plain gradient descent: rate times gradient norm over weight norm; Adam's first step: about the rate for each."""
    plain = {"name": "sgd", "lr": 0.1, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
    trainer = make_trainer(task=make_task().double(), settings={"optimizer": plain, "schedule": {"name": "one-cycle"}})
    ratios = update_ratios(trainer)
    batch = next(iter(trainer.loader))
    batch = {"x": batch["x"].double(), "y": batch["y"]}
    for layer in gradient_flow(trainer.task, batch, updates=ratios).layers:
        assert layer.update == ratios[layer.layer]
        assert layer.update == pytest.approx(0.1 * layer.gradient / layer.weight, rel=1e-9)
    adam = make_trainer(
        task=make_task().double(), settings={"optimizer": {"name": "adamw", "lr": 1e-3, "weight_decay": 0.0}}
    )
    for name, ratio in update_ratios(adam).items():
        weight = adam.task.get_submodule(name).weight
        size = 1e-3 * weight.numel() ** 0.5 / float(weight.detach().norm())
        assert ratio == pytest.approx(size, rel=0.05)
