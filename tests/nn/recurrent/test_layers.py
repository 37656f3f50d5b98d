"""The readable layers against torch's: strictly loaded, packed, both directions, several layers, projections."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from parity import LIMIT, noise, randomised, relative
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from lamplighter.nn.recurrent.layers import GRU, LSTM, RNN

LENGTHS = torch.tensor([9, 3, 7, 1])
KINDS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "rnn-tanh": (RNN, nn.RNN, {}),
    "rnn-relu": (RNN, nn.RNN, {"nonlinearity": "relu"}),
    "gru": (GRU, nn.GRU, {}),
    "lstm": (LSTM, nn.LSTM, {}),
    "lstm-projected": (LSTM, nn.LSTM, {"proj_size": 2}),
    "lstm-without-bias": (LSTM, nn.LSTM, {"bias": False}),
}


def as_tuple(state: Any) -> tuple[Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)


def run_torch(layer: Any, x: Tensor, packed: bool, state: Any = None) -> tuple[Tensor, ...]:
    """Outputs, zeros at padding, and the final state."""
    if not packed:
        output, final = layer(x, state)
        return output, *as_tuple(final)
    sequence, final = layer(pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False), state)
    return pad_packed_sequence(sequence, batch_first=True)[0], *as_tuple(final)


@pytest.mark.parametrize("packed", [False, True], ids=["whole", "packed"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_torch(kind: str, num_layers: int, bidirectional: bool, packed: bool) -> None:
    """Outputs, final states, gradients of every weight and of the input; unsorted lengths, one of them 1."""
    own, theirs, options = KINDS[kind]
    sizes = {"input_size": 3, "hidden_size": 4, "num_layers": num_layers, "bidirectional": bidirectional, **options}
    reference = randomised(theirs(**sizes, batch_first=True).double())
    ours = own(**sizes).double()
    ours.load_state_dict(reference.state_dict(), strict=True)
    inputs = [noise(4, 9, 3).requires_grad_(), noise(4, 9, 3).requires_grad_()]
    output, state = ours(inputs[0], LENGTHS if packed else None)
    found, expected = (output, *state), run_torch(reference, inputs[1], packed)
    assert max(relative(a, b) for a, b in zip(found, expected, strict=True)) <= 1e-12
    for tensors in (found, expected):
        sum((t * torch.linspace(-1, 1, t.numel(), dtype=t.dtype).view_as(t)).sum() for t in tensors).backward()  # type: ignore[union-attr]
    assert inputs[0].grad is not None and inputs[1].grad is not None
    assert relative(inputs[0].grad, inputs[1].grad) <= LIMIT
    of_weights = dict(reference.named_parameters())
    assert max(relative(p.grad, of_weights[n].grad) for n, p in ours.named_parameters()) <= LIMIT  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["rnn-tanh", "gru", "lstm"])
def test_starts_from_a_given_state(kind: str) -> None:
    own, theirs, _ = KINDS[kind]
    reference = randomised(theirs(3, 4, 2, bidirectional=True, batch_first=True).double())
    ours = own(3, 4, 2, bidirectional=True).double()
    ours.load_state_dict(reference.state_dict(), strict=True)
    state = (noise(4, 4, 4, seed=5), noise(4, 4, 4, seed=6))[: 2 if kind == "lstm" else 1]
    expected = run_torch(reference, noise(4, 9, 3), True, state if kind == "lstm" else state[0])
    output, final = ours(noise(4, 9, 3), LENGTHS, state)
    assert max(relative(a, b) for a, b in zip((output, *final), expected, strict=True)) <= 1e-12


@pytest.mark.parametrize("kind", ["rnn-relu", "gru", "lstm", "lstm-projected"])
def test_pieces_with_the_carried_state_are_the_whole(kind: str) -> None:
    own, _, options = KINDS[kind]
    layer = randomised(own(3, 4, num_layers=2, **options).double())
    x = noise(2, 12, 3)
    whole, final = layer(x)
    state, pieces = None, []
    for piece in x.split([1, 4, 5, 2], dim=1):
        output, state = layer.stream(piece, state)  # type: ignore[operator]
        pieces.append(output)
    assert torch.equal(torch.cat(pieces, 1), whole)
    assert state is not None
    assert all(torch.equal(a, b) for a, b in zip(state, final, strict=True))


def test_dropout_stands_between_layers_only() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        one, two = LSTM(3, 4, dropout=0.5), LSTM(3, 4, num_layers=2, dropout=0.5)
        x = torch.randn(2, 5, 3)
        assert torch.equal(one(x)[0], one.eval()(x)[0])
        assert not torch.equal(two(x)[0], two(x)[0])
        assert torch.equal(two.eval()(x)[0], two(x)[0])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_state_starts_in_the_type_of_the_input(dtype: torch.dtype) -> None:
    output, state = LSTM(3, 5, bidirectional=True).to(dtype)(torch.zeros(2, 4, 3, dtype=dtype))
    assert output.dtype == state[0].dtype == state[1].dtype == dtype
