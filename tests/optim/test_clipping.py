"""Clipping against torch's and against its definitions, and on a recurrent network whose gradients explode."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lamplighter.optim.clipping import ClipAdaptive, ClipNorm, ClipValue, unit_norms

SHAPES = [(7, 5), (5,), (4, 3, 2, 2), (1,), (2, 3)]


def parameters(scale: float = 1.0, seed: int = 0) -> list[nn.Parameter]:
    """In float64, with gradients."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for shape in SHAPES:
        parameter = nn.Parameter(torch.randn(shape, dtype=torch.float64, generator=generator))
        parameter.grad = scale * torch.randn(shape, dtype=torch.float64, generator=generator)
        made.append(parameter)
    return made


def flat(params: Sequence[nn.Parameter]) -> Tensor:
    return torch.cat([p.grad.flatten() for p in params if p.grad is not None])


@pytest.mark.parametrize("order", [1, 2, "inf"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize("max_norm", [0.3, 5.0])
def test_norm_equals_torch(max_norm: float, scale: float, order: Any) -> None:
    ours, theirs = parameters(scale), parameters(scale)
    norm = ClipNorm(max_norm, order)(ours)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, float(order))
    torch.testing.assert_close(norm, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(flat(ours), flat(theirs), rtol=1e-12, atol=1e-12 * scale)


def test_norm_keeps_the_direction_and_value_does_not() -> None:
    before = flat(parameters(10.0))
    for clip, stays in ((ClipNorm(1.0), True), (ClipValue(1.0), False)):
        params = parameters(10.0)
        clip(params)
        cosine = nn.functional.cosine_similarity(flat(params), before, dim=0).item()
        assert (cosine == pytest.approx(1, abs=1e-14)) is stays
        assert cosine > 0.5


def test_the_largest_entry_is_not_the_length() -> None:
    """A norm of order inf bounds every entry; the gradient itself may be longer."""
    params = parameters(10.0)
    ClipNorm(1.0, "inf")(params)
    assert flat(params).abs().max().item() == pytest.approx(1, abs=1e-6)
    assert flat(params).norm().item() > 1.25


@pytest.mark.parametrize("scale", [0.1, 10.0])
def test_value_equals_torch(scale: float) -> None:
    ours, theirs = parameters(scale), parameters(scale)
    ClipValue(0.7)(ours)
    torch.nn.utils.clip_grad_value_(theirs, 0.7)
    assert torch.equal(flat(ours), flat(theirs))


@pytest.mark.parametrize("scale", [1e-3, 0.03, 1.0, 100.0])
def test_adaptive_is_its_definition_unit_by_unit(scale: float) -> None:
    params = parameters(scale)
    with torch.no_grad():
        params[0][2] = 0.0  # a unit of zeros may still grow
        params[1].zero_()
    expected = []
    for p in params:
        assert p.grad is not None
        weights, grads = (t.detach().flatten(1) if t.dim() > 1 else t.detach()[None] for t in (p, p.grad))
        rows = []
        for w, g in zip(weights, grads):
            most = 0.05 * max(math.sqrt(sum(x * x for x in w.tolist())), 1e-3)
            size = math.sqrt(sum(x * x for x in g.tolist()))
            rows.append(g * (most / size) if size > most else g)
        expected.append(torch.cat(rows))
    ClipAdaptive(None, factor=0.05)(params)
    torch.testing.assert_close(flat(params), torch.cat(expected), rtol=1e-12, atol=1e-15)


def test_adaptive_leaves_the_head_of_each_network_as_it_is() -> None:
    pair = nn.ModuleDict({name: nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)) for name in ("a", "b")})
    clip = ClipAdaptive(pair)
    for network in (pair["a"], pair["b"], pair["a"]):
        for p in pair.parameters():
            p.grad = torch.full_like(p, 100.0)
        clip(list(network.parameters()))
        kept = {name for name, p in pair.named_parameters() if p.grad is not None and bool((p.grad == 100).all())}
        other = "b" if network is pair["a"] else "a"
        this = "a" if network is pair["a"] else "b"
        assert kept == {
            f"{this}.1.weight",
            f"{this}.1.bias",
            *(f"{other}.{i}.{n}" for i in "01" for n in ("weight", "bias")),
        }


def test_units_of_a_kernel_are_its_output_channels() -> None:
    kernel = torch.randn(4, 3, 5, 5, dtype=torch.float64)
    expected = kernel.flatten(1).norm(dim=1)
    assert unit_norms(kernel).shape == (4, 1, 1, 1)
    torch.testing.assert_close(unit_norms(kernel).flatten(), expected, rtol=1e-14, atol=0)


class Recurrent(nn.Module):
    """h <- relu(R h + x) with R 1.5 times an orthogonal matrix: gradients grow by 1.5 in each of 50 steps."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(10, 20, nonlinearity="relu", batch_first=True)
        self.head = nn.Linear(20, 1)
        nn.init.orthogonal_(self.rnn.weight_hh_l0, gain=1.5)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 50, 10) -> (N, 1)."""
        h: Tensor = self.rnn(x)[0][:, -1]
        out: Tensor = self.head(h)
        return out


@pytest.mark.parametrize("make", [lambda: ClipNorm(1.0), lambda: ClipNorm(1.0, 1), lambda: ClipValue(0.01)])
def test_exploding_gradients_of_a_recurrent_network_are_clipped(make: Callable[[], Any]) -> None:
    torch.manual_seed(0)
    net = Recurrent()
    nn.functional.mse_loss(net(0.1 * torch.randn(16, 50, 10)), torch.randn(16, 1)).backward()
    before = flat(list(net.parameters())).clone()
    assert before.norm() > 5, "nothing explodes: the test tests nothing"
    norm = make()(list(net.parameters()))
    after = flat(list(net.parameters()))
    assert norm > 5
    assert after.norm() <= 1.0 + 1e-6
    if isinstance(make(), ClipNorm):
        assert nn.functional.cosine_similarity(after, before, dim=0).item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_a_three_layer_lstm_is_clipped_in_the_step_that_needs_it(seed: int) -> None:
    """One batch of thirty is 500 times too large. Clipped, it costs little; else the loss doubles."""

    def train(clip: ClipNorm) -> tuple[list[float], float]:
        torch.manual_seed(seed)
        lstm, head = nn.LSTM(10, 20, 3, batch_first=True), nn.Linear(20, 20)
        params = [*lstm.parameters(), *head.parameters()]
        optimizer, norms = torch.optim.SGD(params, lr=0.1), []
        x, y = torch.randn(16, 12, 10), torch.rand(16, 20) - 0.5
        for step in range(30):
            scale = 500.0 if step == 15 else 1.0
            loss = nn.functional.mse_loss(head(lstm(scale * x)[0][:, -1]), scale * y)
            optimizer.zero_grad()
            loss.backward()
            norms.append(clip(params).item())
            assert flat(params).norm() <= clip.max_norm + 1e-6
            optimizer.step()
        return norms, nn.functional.mse_loss(head(lstm(x)[0][:, -1]), y).item()

    norms, final = train(ClipNorm(0.5))
    assert [step for step, norm in enumerate(norms) if norm > 0.5] == [15]
    _, unclipped = train(ClipNorm(1e9))
    assert final < 0.1
    assert unclipped > 1.9 * final
