"""Errors, sizes and starts that all recurrent layers share; how far gradients reach."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lamplighter.nn.recurrent.base import RecurrentBase, set_forget_bias
from lamplighter.nn.recurrent.kernels import Recurrent
from lamplighter.nn.recurrent.layers import GRU, LSTM, RNN


def test_weights_start_as_torchs() -> None:
    layer = Recurrent("lstm", 200, 300)
    bound = 300**-0.5
    for parameter in layer.parameters():
        assert parameter.abs().max() <= bound
    assert abs(layer.weight_ih_l0.std().item() / (bound / 3**0.5) - 1) < 0.02  # type: ignore[operator]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"input_size": 0}, "input_size is 0"),
        ({"hidden_size": 0}, "hidden_size is 0"),
        ({"num_layers": 0}, "num_layers is 0"),
        ({"cell": "gru", "proj_size": 2}, "only an lstm has a projection"),
        ({"proj_size": 5}, r"smaller than hidden_size \(5\)"),
    ],
)
def test_sizes_that_do_not_fit_are_named(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        RecurrentBase(**{"cell": "lstm", "input_size": 3, "hidden_size": 5} | options)


def test_inputs_and_states_that_do_not_fit_are_named() -> None:
    for layer in (LSTM(3, 5), Recurrent("lstm", 3, 5)):
        for x, complaint in ((torch.zeros(2, 4, 7), r"\(N, L, 3\)"), (torch.zeros(2, 0, 3), "empty sequence")):
            with pytest.raises(ValueError, match=complaint):
                layer(x)
        with pytest.raises(ValueError, match=r"\(h, c\)"):
            layer.stream(torch.zeros(2, 4, 3), (torch.zeros(1, 2, 5),))  # type: ignore[operator]
    with pytest.raises(ValueError, match="with 2 entries"):
        GRU(3, 5, num_layers=2)(torch.zeros(2, 4, 3), state=(torch.zeros(1, 2, 5),))


def test_a_bidirectional_network_cannot_stream() -> None:
    for layer in (LSTM(3, 5, bidirectional=True), Recurrent("lstm", 3, 5, bidirectional=True)):
        with pytest.raises(ValueError, match="bidirectional lstm cannot stream"):
            layer.stream(torch.zeros(1, 2, 3))  # type: ignore[operator]


def test_the_forget_bias_is_set_once_and_nowhere_else() -> None:
    for lstm in (LSTM(3, 5, num_layers=2, bidirectional=True, forget_bias=2.0), nn.LSTM(3, 5, 2, bidirectional=True)):
        before = {name: parameter.clone() for name, parameter in lstm.named_parameters()}
        set_forget_bias(lstm, 2.0)
        for name, parameter in lstm.named_parameters():
            if not name.startswith("bias"):
                assert torch.equal(parameter, before[name])
                continue
            other = name.replace("bias_ih", "bias_hh")
            if name != other:
                assert torch.equal((parameter + lstm.get_parameter(other)).view(4, 5)[1], torch.full((5,), 2.0))
            assert torch.equal(parameter.view(4, 5)[[0, 2, 3]], before[name].view(4, 5)[[0, 2, 3]])
    gru = GRU(3, 5)
    before = {name: parameter.clone() for name, parameter in gru.named_parameters()}
    set_forget_bias(gru, 2.0)
    assert all(torch.equal(parameter, before[name]) for name, parameter in gru.named_parameters())


def reach(layer: Any, seed: int) -> Tensor:
    """Norm of d(last output) / d(input at t) for 200 steps, as a share of that at the last step."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if not name.startswith("bias") or getattr(layer, "cell", "") != "lstm":
                parameter.uniform_(-(32**-0.5), 32**-0.5, generator=generator)
    x = torch.randn(4, 200, 16, generator=generator, dtype=torch.float64).requires_grad_()
    layer.double()(x)[0][:, -1].sum().backward()
    assert x.grad is not None
    norms = x.grad.norm(dim=(0, 2))
    return norms / norms[-1]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_gradients_vanish_in_an_rnn_and_reach_back_in_an_lstm_with_a_large_forget_bias(seed: int) -> None:
    """An RNN's and a default LSTM's are gone long before 200 steps; a forget bias of 3 keeps them, 1 does not."""
    rnn = reach(RNN(16, 32), seed)
    assert rnn[190] < 0.02 and rnn[150] < 1e-9
    plain, one, three = (reach(LSTM(16, 32, forget_bias=bias), seed) for bias in (0.0, 1.0, 3.0))
    assert plain[0] < 1e-25
    assert plain[0] * 1e10 < one[0] < 1e-8
    assert three[0] > 1e-6
