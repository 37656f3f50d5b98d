"""Averaged weights beside torch's `AveragedModel`, and their exchange with the weights being trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_avg_fn

from lamplighter.core.errors import RunError
from lamplighter.train.averaging import WeightAverage


def network(dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 2)).to(dtype)
    net.register_buffer("table", torch.randn(3).to(dtype))
    return net


def train(net: nn.Module, steps: int, after: Callable[[], Any]) -> None:
    """Real steps, so that weights and statistics move as they do."""
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    for _ in range(steps):
        x = torch.randn(6, 3, 6, 6, generator=generator, dtype=torch.float64).to(next(net.parameters()).dtype)
        net(x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        after()


@pytest.mark.parametrize("kind", ["ema", "swa"])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_equals_torch(kind: str, batch_norm: bool) -> None:
    """With ``use_buffers`` torch averages every buffer, else it copies them; ours are statistics, or the network's."""
    net = network()
    # (for SWA torch's foreach variant is no oracle: it divides in float32)
    function: Any = {"multi_avg_fn": get_ema_multi_avg_fn(0.9)} if kind == "ema" else {"avg_fn": get_swa_avg_fn()}
    oracle = AveragedModel(net, use_buffers=batch_norm, **function)
    average = WeightAverage(net, batch_norm)

    def update() -> None:
        oracle.update_parameters(net)
        average.update(0.1 if kind == "ema" else 1 / (average.count + 1))

    train(net, 30, update)
    with average.applied():
        judged = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    for name, expected in oracle.module.state_dict().items():
        if "num_batches" not in name:
            assert torch.allclose(judged[name], expected, rtol=1e-12, atol=1e-12), name
    assert judged["1.num_batches_tracked"] == 30


def test_the_training_weights_come_back_bit_for_bit_even_after_an_error() -> None:
    net = network(torch.float32)
    average = WeightAverage(net, batch_norm=True)
    train(net, 5, lambda: average.update(0.5))
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    pointers = [parameter.data_ptr() for parameter in net.parameters()]
    with pytest.raises(ZeroDivisionError), average.applied():
        assert not torch.equal(net[0].weight, before["0.weight"])  # type: ignore[index]
        raise ZeroDivisionError
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert [parameter.data_ptr() for parameter in net.parameters()] == pointers


def test_16_bit_weights_are_averaged_in_32() -> None:
    layer = nn.Linear(1, 1, bias=False, dtype=torch.bfloat16)
    average = WeightAverage(layer)
    nn.init.constant_(layer.weight, 1.0)
    average.update(1)
    nn.init.constant_(layer.weight, 2.0)
    for _ in range(693):
        average.update(0.001)
    assert average.averages[0].dtype == torch.float32
    assert float(average.averages[0]) == pytest.approx(2 - 0.999**693, abs=1e-4), "in bfloat16 it would stay at 1"
    with average.applied():
        assert layer.weight.dtype == torch.bfloat16 and layer.weight.item() == 1.5


def test_nothing_is_exchanged_before_the_first_update() -> None:
    net = network()
    before = net[0].weight.clone()  # type: ignore[index]
    with WeightAverage(net).applied():
        assert torch.equal(net[0].weight, before)  # type: ignore[index]


def test_a_state_goes_on_where_it_was_saved() -> None:
    whole, cut, net = network(), network(), network()
    first = WeightAverage(cut)
    average = WeightAverage(whole)
    train(whole, 20, lambda: average.update(0.1))
    train(cut, 8, lambda: first.update(0.1))
    saved = {"count": first.count, "averages": {name: t.clone() for name, t in first.state_dict()["averages"].items()}}
    second = WeightAverage(net)
    second.load_state_dict(saved)
    steps = iter(range(20))
    train(net, 20, lambda: second.update(0.1) if next(steps) >= 8 else None)
    assert second.count == average.count == 20
    assert all(torch.equal(a, b) for a, b in zip(second.averages, average.averages))
    kept = first.state_dict()["averages"]
    assert all(torch.equal(saved["averages"][name], tensor) for name, tensor in kept.items()), "a copy was taken"


def test_the_memory_layout_follows_the_network() -> None:
    net = network().to(memory_format=torch.channels_last)
    average = WeightAverage(net)
    average.update(1)
    plain = {name: tensor.contiguous() for name, tensor in average.state_dict()["averages"].items()}
    again = WeightAverage(net)
    again.load_state_dict({"count": 1, "averages": plain})
    for each in (average, again):
        assert each.averages[0].is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(each.averages[0], net[0].weight)  # type: ignore[index]


def test_averages_of_another_network_are_refused() -> None:
    average = WeightAverage(network())
    average.update(1)
    with pytest.raises(RunError, match="another network"):
        WeightAverage(nn.Linear(2, 2)).load_state_dict(average.state_dict())


def test_tied_weights_are_one_and_integers_have_no_average() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)
            self.b.weight = self.a.weight
            self.codes = nn.Parameter(torch.tensor([1, 2]), requires_grad=False)

    net = Tied()
    average = WeightAverage(net)
    average.update(1)
    nn.init.constant_(net.a.weight, 3.0)
    average.update(0.5)
    assert average.names == ["a.weight", "a.bias", "b.bias"]
    with average.applied():
        value: Tensor = net.b.weight
        assert torch.equal(value, net.a.weight) and not bool((value == 3).any())
