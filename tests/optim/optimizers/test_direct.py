"""The kernels called directly against torch's own way to them: bit for bit, whatever happens on the way."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from lamplighter.models.cnn import CNN
from lamplighter.optim.groups import parameter_groups
from lamplighter.optim.optimizers.adam import adam, adamw
from lamplighter.optim.optimizers.direct import DirectAdam, DirectAdamW, DirectSGD, uniform
from lamplighter.optim.optimizers.sgd import sgd

Make = Callable[..., torch.optim.Optimizer]
CASES: list[tuple[Make, Make, dict[str, Any]]] = [
    (DirectSGD, torch.optim.SGD, {"lr": 0.1}),
    (DirectSGD, torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    (DirectSGD, torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}),
    (DirectAdam, torch.optim.Adam, {"weight_decay": 0.1}),
    (DirectAdam, torch.optim.Adam, {"amsgrad": True}),
    (DirectAdamW, torch.optim.AdamW, {"weight_decay": 0.1}),
    (DirectAdamW, torch.optim.AdamW, {"amsgrad": True, "betas": (0.5, 0.9)}),
]
each = pytest.mark.parametrize(("ours", "theirs", "settings"), CASES)


def network() -> nn.Module:
    torch.manual_seed(0)
    return CNN(1, 3, width=4).to(memory_format=torch.channels_last)


def give_gradients(net: nn.Module, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for p in net.parameters():
        p.grad = torch.empty_like(p).copy_(torch.randn(p.shape, generator=generator))


def build(make: Make, net: nn.Module, settings: dict[str, Any]) -> torch.optim.Optimizer:
    return make(parameter_groups(net, net.named_parameters()), fused=True, **settings)


def assert_equal(a: nn.Module, b: nn.Module) -> None:
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters()))


@each
def test_bit_equal_to_torch_and_interchangeable_with_it(ours: Make, theirs: Make, settings: dict[str, Any]) -> None:
    """Including the state: after ten steps each goes on from what the other saved."""
    a, b = network(), network()
    first, second = build(ours, a, settings), build(theirs, b, settings)
    for step in range(10):
        for net, optimizer in ((a, first), (b, second)):
            give_gradients(net, step)
            optimizer.step()
    assert_equal(a, b)
    states = copy.deepcopy(first.state_dict()), copy.deepcopy(second.state_dict())
    first.load_state_dict(states[1])
    second.load_state_dict(states[0])
    for step in range(10, 15):
        for net, optimizer in ((a, first), (b, second)):
            give_gradients(net, step)
            optimizer.step()
    assert_equal(a, b)


@each
def test_scaled_gradients_and_overflows(ours: Make, theirs: Make, settings: dict[str, Any]) -> None:
    """What a gradient scaler of fp16 hands to a fused step: the kernel unscales, and leaves out an overflow."""
    a, b = network(), network()
    first, second = build(ours, a, settings), build(theirs, b, settings)
    for step, overflow in enumerate((0.0, 0.0, 1.0, 0.0)):
        before = copy.deepcopy(a)
        for net, optimizer in ((a, first), (b, second)):
            give_gradients(net, step)
            optimizer.grad_scale, optimizer.found_inf = torch.tensor(8.0), torch.tensor(overflow)  # type: ignore[attr-defined]
            optimizer.step()
        assert_equal(a, b)
        if overflow:
            assert_equal(a, before)
    assert [float(s.get("step", 0)) for s in first.state.values()] == [
        float(s.get("step", 0)) for s in second.state.values()
    ]


@pytest.mark.parametrize("make", [sgd, adam, adamw])
def test_a_parameter_may_get_its_first_gradient_late(make: Make) -> None:
    """When layers thaw one after the other: as torch's loop over parameters does it (its fused SGD fails here)."""
    plain = {sgd: torch.optim.SGD, adam: torch.optim.Adam, adamw: torch.optim.AdamW}[make]
    settings = {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4} if make is sgd else {}
    nets = [network(), network()]
    optimizers = [
        make([{"params": list(nets[0].parameters())}], lr=0.1),
        plain(nets[1].parameters(), lr=0.1, foreach=False, **settings),
    ]
    for step in range(6):
        for net, optimizer in zip(nets, optimizers):
            give_gradients(net, step)
            for index, p in enumerate(net.parameters()):
                if (step < 3 and index % 2) or step == 4:
                    p.grad = None
            optimizer.step()
    for p, q in zip(nets[0].parameters(), nets[1].parameters()):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)


def test_hooks_of_torch_run() -> None:
    w = nn.Parameter(torch.ones(2))
    optimizer, calls = sgd([{"params": [w]}]), []
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))
    w.grad = torch.ones(2)
    optimizer.step()
    assert calls == ["before", "after"]


def test_taken_where_groups_are_uniform() -> None:
    half, single = nn.Parameter(torch.ones(2, dtype=torch.bfloat16)), nn.Parameter(torch.ones(2))
    apart, together = [{"params": [half]}, {"params": [single]}], [{"params": [half, single]}]
    assert uniform(apart) and not uniform(together)  # type: ignore[arg-type]
    for make, direct in ((sgd, DirectSGD), (adam, DirectAdam), (adamw, DirectAdamW)):
        assert type(make([dict(group) for group in apart])) is direct  # type: ignore[operator]
        mixed = make([dict(group) for group in together])  # type: ignore[operator]
        assert type(mixed) is direct.__base__
        half.grad, single.grad = torch.ones_like(half), torch.ones_like(single)
        mixed.step()
