"""What every way to limit gradients must hold: it reports the norm before, lengthens nothing, and copes with gaps."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from lamplighter.core import registry
from lamplighter.models.cnn import CNN

NAMES = registry.names("clip")


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def network(scale: float) -> nn.Module:
    """A network with gradients ``scale`` times those of a standard normal distribution, in channels_last."""
    torch.manual_seed(0)
    net = CNN(1, 3).to(memory_format=torch.channels_last)
    for parameter in net.parameters():
        parameter.grad = scale * torch.randn(parameter.shape).to(memory_format=_layout(parameter))
    return net


def _layout(tensor: Tensor) -> torch.memory_format:
    return torch.channels_last if tensor.dim() == 4 else torch.contiguous_format


def gradients(net: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


def length(tensors: dict[str, Tensor]) -> float:
    return math.sqrt(sum(float(t.double().square().sum()) for t in tensors.values()))


def test_returns_the_norm_before_as_a_tensor_without_dimensions(name: str) -> None:
    net = network(100.0)
    before = gradients(net)
    norm = registry.build("clip", name, {}, {"module": net})(list(net.parameters()))
    assert isinstance(norm, Tensor)
    assert norm.shape == ()
    assert not norm.requires_grad
    assert norm.item() == pytest.approx(length(before), rel=1e-5)


def test_large_gradients_become_shorter_and_no_entry_turns_round(name: str) -> None:
    net = network(100.0)
    before = gradients(net)
    registry.build("clip", name, {}, {"module": net})(list(net.parameters()))
    after = gradients(net)
    assert length(after) < 0.5 * length(before)
    for key, value in after.items():
        assert bool((value.abs() <= before[key].abs()).all()), key
        assert bool((value * before[key] >= 0).all()), key


def test_tiny_gradients_stay_bit_for_bit(name: str) -> None:
    net = network(1e-9)
    before = gradients(net)
    registry.build("clip", name, {}, {"module": net})(list(net.parameters()))
    after = gradients(net)
    assert all(torch.equal(after[key], before[key]) for key in before)


def test_parameters_without_gradient_are_passed_over(name: str) -> None:
    net = network(100.0)
    clip = registry.build("clip", name, {}, {"module": net})
    first, *rest = net.parameters()
    first.grad = None
    norm = clip(list(net.parameters()))
    assert first.grad is None
    assert norm.item() > 0
    for parameter in rest:
        parameter.grad = None
    assert clip(list(net.parameters())).item() == 0.0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_shows_in_the_norm(name: str, value: float) -> None:
    net = network(1.0)
    parameter = next(net.parameters())
    assert parameter.grad is not None
    parameter.grad.view(-1)[3] = value
    assert not math.isfinite(registry.build("clip", name, {}, {"module": net})(list(net.parameters())).item())


def test_works_without_knowing_the_network(name: str) -> None:
    net = network(100.0)
    before = gradients(net)
    registry.build("clip", name, {})(list(net.parameters()))
    assert length(gradients(net)) < length(before)
