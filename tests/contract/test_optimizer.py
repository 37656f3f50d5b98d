"""What every optimizer must hold: it descends, goes on exactly where it was saved, and leaves alone what it should."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lamplighter.core import registry
from lamplighter.core.errors import LamplighterError, TrainingError
from lamplighter.optim.groups import parameter_groups
from lamplighter.train import checkpoint

CURVATURE = torch.tensor([[0.5, 1.0], [2.0, 0.1]])


@pytest.fixture(params=registry.names("optimizer"))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def start() -> nn.Parameter:
    return nn.Parameter(torch.tensor([[1.0, -2.0], [0.5, 3.0]]))


def build(name: str, *groups: dict[str, Any], **params: Any) -> torch.optim.Optimizer:
    optimizer: torch.optim.Optimizer = registry.build("optimizer", name, params, {"params": list(groups)})
    return optimizer


def quadratic(w: Tensor) -> Tensor:
    """Half of the sum of curvature * w^2; smallest at 0."""
    return (CURVATURE * w.square()).sum() / 2


def steps(optimizer: torch.optim.Optimizer, w: nn.Parameter, count: int) -> None:
    for _ in range(count):
        optimizer.zero_grad()
        quadratic(w).backward()
        optimizer.step()


def test_steps_reduce_a_quadratic(name: str) -> None:
    """With the default rate, falling to 0 in a straight line, from weights as small as those of a network."""
    w = nn.Parameter(0.02 * start().detach())
    optimizer = build(name, {"params": [w]})
    rates = [group["lr"] for group in optimizer.param_groups]
    before = quadratic(w).item()
    steps(optimizer, w, 1)
    assert quadratic(w).item() < before
    for step in range(1, 400):
        for group, rate in zip(optimizer.param_groups, rates):
            group["lr"] = rate * (1 - step / 400)
        steps(optimizer, w, 1)
    assert quadratic(w).item() < 0.3 * before


def test_goes_on_bit_for_bit_from_a_saved_state(name: str) -> None:
    w = start()
    optimizer = build(name, {"params": [w]})
    steps(optimizer, w, 5)
    state = copy.deepcopy(optimizer.state_dict())
    resumed_w = nn.Parameter(w.detach().clone())
    resumed = build(name, {"params": [resumed_w]})
    resumed.load_state_dict(state)
    steps(optimizer, w, 5)
    steps(resumed, resumed_w, 5)
    assert torch.equal(resumed_w, w)


def network() -> nn.Sequential:
    """With everything an optimizer may meet: kernels in channels_last, norms, matrices, biases, a scalar."""
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.PReLU(),
        nn.Flatten(),
        nn.Linear(32, 8),
        nn.LayerNorm(8),
        nn.Linear(8, 2),
    )
    return layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def train(net: nn.Sequential, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
    for step in range(first, last):
        x = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        net(x.to(memory_format=torch.channels_last)).square().mean().backward()
        optimizer.step()


def on_network(name: str, net: nn.Sequential) -> torch.optim.Optimizer:
    groups = parameter_groups(net, net.named_parameters(), layer_decay=0.9)
    optimizer: torch.optim.Optimizer = registry.build("optimizer", name, {}, {"params": groups, "module": net})
    return optimizer


def test_goes_on_bit_for_bit_from_a_checkpoint_on_disk(name: str, tmp_path: Path) -> None:
    """In another process: a fresh network, a fresh optimizer, the files of a checkpoint."""
    net = network()
    optimizer = on_network(name, net)
    train(net, optimizer, 0, 4)
    checkpoint.save(tmp_path / "last", net, {"optimizer": checkpoint.optimizer_state(optimizer)})
    train(net, optimizer, 4, 8)

    resumed_net = network()
    checkpoint.load_model(tmp_path / "last", resumed_net)
    resumed = on_network(name, resumed_net)
    checkpoint.load_optimizer_state(resumed, checkpoint.load_state(tmp_path / "last")["optimizer"])
    train(resumed_net, resumed, 4, 8)
    for key, value in net.state_dict().items():
        assert torch.equal(resumed_net.state_dict()[key], value), key


def test_a_copy_goes_on_alike(name: str) -> None:
    net = network()
    optimizer = on_network(name, net)
    train(net, optimizer, 0, 3)
    twin, twin_optimizer = copy.deepcopy((net, optimizer))
    train(net, optimizer, 3, 6)
    train(twin, twin_optimizer, 3, 6)
    for key, value in net.state_dict().items():
        assert torch.equal(twin.state_dict()[key], value), key


def test_every_trained_parameter_belongs_to_exactly_one_group(name: str) -> None:
    net = network()
    owned = [id(p) for group in on_network(name, net).param_groups for p in group["params"]]
    assert sorted(owned) == sorted(id(p) for p in net.parameters())


def test_the_learning_rate_can_be_scheduled(name: str) -> None:
    w = start()
    optimizer = build(name, {"params": [w]})
    for group in optimizer.param_groups:
        assert group["lr"] > 0
        group["lr"] = 0.0
    steps(optimizer, w, 3)
    assert torch.equal(w, start())


def test_a_group_without_decay_does_not_shrink(name: str) -> None:
    w = start()
    optimizer = build(name, {"params": [w], "weight_decay": 0.0})
    w.grad = torch.zeros_like(w)
    optimizer.step()
    assert torch.equal(w, start())


def test_a_parameter_without_gradient_stays(name: str) -> None:
    w, untouched = start(), start()
    optimizer = build(name, {"params": [w, untouched]})
    steps(optimizer, w, 3)
    assert torch.equal(untouched, start())
    assert not torch.equal(w, start())


def test_a_group_may_have_its_own_rate(name: str) -> None:
    optimizer = build(name, {"params": [start()]}, {"params": [start()], "lr": 0.5}, lr=0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.5]


def test_an_automatic_rate_is_valid_in_a_recipe_and_never_reaches_the_optimizer(name: str) -> None:
    assert registry.validate("optimizer", name, {"lr": "auto"})["lr"] == "auto"
    with pytest.raises(TrainingError, match="learning-rate finder"):
        build(name, {"params": [start()]}, lr="auto")


@pytest.mark.parametrize("lr", [0, -1.0, "fast", None, True, float("inf")])
def test_other_rates_are_refused_in_one_sentence(name: str, lr: object) -> None:
    with pytest.raises(LamplighterError, match="lr: must be a number above 0, or 'auto'") as caught:
        build(name, {"params": [start()]}, lr=lr)
    assert str(caught.value).count("lr:") == 1


def test_a_closure_is_called_with_gradients(name: str) -> None:
    w = start()
    optimizer = build(name, {"params": [w]})

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = quadratic(w)
        loss.backward()
        return loss

    returned: Any = optimizer.step(closure)  # type: ignore[arg-type]
    assert returned.item() == pytest.approx(2.95)
    assert not torch.equal(w, start())
