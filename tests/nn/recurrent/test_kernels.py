"""The layers over torch's kernels against the readable ones and against torch; masks, export, pieces."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from parity import LIMIT, noise, randomised, relative
from torch import Tensor, nn

from lamplighter.nn.masks import from_lengths
from lamplighter.nn.recurrent.cells import CellName
from lamplighter.nn.recurrent.kernels import Recurrent
from lamplighter.nn.recurrent.layers import GRU, LSTM, RNN

LENGTHS = torch.tensor([9, 3, 7, 1])
MASK = from_lengths(LENGTHS, 9)
READABLE: dict[str, Any] = {"rnn": RNN, "gru": GRU, "lstm": LSTM}
CELLS: list[CellName] = ["rnn", "gru", "lstm"]


def pair(cell: CellName, num_layers: int, bidirectional: bool, **options: Any) -> tuple[Any, Any]:
    reference = randomised(READABLE[cell](3, 4, num_layers, bidirectional, **options).double())
    ours: Any = Recurrent(cell, 3, 4, num_layers, bidirectional, **options).double()
    ours.load_state_dict(reference.state_dict(), strict=True)
    return ours, reference


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_equals_the_readable_layers(cell: CellName, num_layers: int, bidirectional: bool, masked: bool) -> None:
    """Outputs, the state after the sequence, gradients of every weight and of the input."""
    ours, reference = pair(cell, num_layers, bidirectional)
    mask = MASK if masked else None
    inputs = [noise(4, 9, 3).requires_grad_(), noise(4, 9, 3).requires_grad_()]
    output = ours(inputs[0], mask)
    expected, state = reference(inputs[1], LENGTHS if masked else None)
    assert relative(output, expected) <= 1e-12
    top = state[0][-reference.directions :]
    assert relative(ours.final(output, mask), torch.cat(list(top), 1)) <= 1e-12
    for tensor in (output, expected):
        (tensor * torch.linspace(-1, 1, tensor.numel(), dtype=tensor.dtype).view_as(tensor)).sum().backward()
    assert inputs[0].grad is not None and inputs[1].grad is not None
    assert relative(inputs[0].grad, inputs[1].grad) <= LIMIT
    of_weights = dict(reference.named_parameters())
    assert max(relative(p.grad, of_weights[n].grad) for n, p in ours.named_parameters()) <= LIMIT


def test_equals_the_readable_layers_with_projections_and_without_biases() -> None:
    for options in ({"proj_size": 2}, {"bias": False}):
        ours, reference = pair("lstm", 2, True, **options)
        assert relative(ours(noise(4, 9, 3), MASK), reference(noise(4, 9, 3), LENGTHS)[0]) <= 1e-12


@pytest.mark.parametrize(("cell", "theirs"), [("rnn", nn.RNN), ("gru", nn.GRU), ("lstm", nn.LSTM)])
def test_is_torchs_kernel_bit_for_bit(cell: CellName, theirs: Any) -> None:
    reference = theirs(3, 4, 2, bidirectional=True, batch_first=True)
    ours = Recurrent(cell, 3, 4, 2, True)
    ours.load_state_dict(reference.state_dict(), strict=True)
    x = noise(2, 6, 3).float()
    assert torch.equal(ours(x), reference(x)[0])


@pytest.mark.parametrize("cell", CELLS)
def test_padding_has_no_effect(cell: CellName) -> None:
    """Neither what stands there nor how much of it there is."""
    ours, _ = pair(cell, 2, True)
    x = noise(4, 9, 3)
    expected = ours(x, MASK)
    other = torch.cat([x.where(MASK.unsqueeze(2), 99.0), torch.full((4, 5, 3), -99.0, dtype=x.dtype)], 1)
    found = ours(other, torch.cat([MASK, torch.zeros(4, 5, dtype=torch.bool)], 1))
    assert relative(found[:, :9], expected) <= 1e-12
    assert not found[:, 9:].any() and not expected[~MASK].any()
    alone = ours(x[1:2, :3])
    assert relative(expected[1:2, :3], alone) <= 1e-12


def test_the_backward_half_of_the_final_state_has_seen_the_first_token() -> None:
    """Taking the last position for both directions is a common mistake: its backward half has seen one token only."""
    ours, _ = pair("lstm", 1, True)
    x, changed = noise(1, 9, 3), noise(1, 9, 3)
    changed[0, 0] += 1
    before, after = ours(x), ours(changed)
    moved = (ours.final(after) - ours.final(before)).abs()[0]
    assert moved[:4].max() > 1e-3 and moved[4:].max() > 1e-3
    assert torch.equal(after[0, -1, 4:], before[0, -1, 4:])


@pytest.mark.parametrize("cell", CELLS)
def test_one_direction_does_not_see_the_future(cell: CellName) -> None:
    ours, _ = pair(cell, 2, False)
    x, changed = noise(2, 9, 3), noise(2, 9, 3)
    changed[:, 6:] = 7.0
    assert torch.equal(ours(x)[:, :6], ours(changed)[:, :6])
    assert not torch.equal(ours(x)[:, 6:], ours(changed)[:, 6:])


@pytest.mark.parametrize("cell", CELLS)
def test_pieces_with_the_carried_state_are_the_whole(cell: CellName) -> None:
    ours, reference = pair(cell, 2, False)
    x = noise(2, 12, 3)
    state, pieces = None, []
    for piece in x.split([1, 4, 5, 2], dim=1):
        output, state = ours.stream(piece, state)
        pieces.append(output)
    whole, final = reference(x)
    assert relative(torch.cat(pieces, 1), whole) <= 1e-12
    assert all(relative(a, b) <= 1e-12 for a, b in zip(state, final, strict=True))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_state_starts_in_the_type_of_the_input(dtype: torch.dtype) -> None:
    layer = Recurrent("lstm", 3, 5, bidirectional=True).to(dtype)
    output = layer(torch.zeros(4, 9, 3, dtype=dtype), MASK)
    assert output.dtype == dtype
    output.sum().backward()


class Streamed(nn.Module):
    """A stack of layers that starts from a given state and also gives the last one, as a decoder does."""

    def __init__(self, layer: Recurrent) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        output, state = self.layer.stream(x, (h, c)[: 2 if self.layer.cell == "lstm" else 1])
        return output, *state


def exported(model: nn.Module, inputs: tuple[Tensor, ...], dims: tuple[dict[int, Any], ...]) -> Any:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model.eval(), inputs, opset_version=20, dynamo=True, dynamic_shapes=dims, verbose=False
        )
        assert program is not None
        program.save(buffer)
    return onnxruntime.InferenceSession(buffer.getvalue())


def compare(session: Any, model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    names = [value.name for value in session.get_inputs()]
    found = session.run(None, {name: part.numpy() for name, part in zip(names, inputs)})
    expected = model(*inputs)
    for a, b in zip(found, expected if isinstance(expected, tuple) else (expected,), strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=1e-4, atol=1e-6)


def check_export(cell: CellName, rows: Any, length: Any) -> None:
    layer = Recurrent(cell, 3, 4, 2, True).eval()
    dims: dict[int, Any] = {0: rows, 1: length}
    session = exported(layer, (torch.randn(3, 7, 3), from_lengths(torch.tensor([7, 2, 4]), 7)), (dims, dims))
    for size, lengths in ((11, [11, 4]), (1, [1]), (4, [1, 2, 3, 4, 4])):
        compare(session, layer, (noise(len(lengths), size, 3).float(), from_lengths(torch.tensor(lengths), size)))


@pytest.mark.parametrize(("cell", "times"), [("lstm", 2), ("gru", 1)])
def test_exports_again_in_one_process_with_any_length(cell: CellName, times: int) -> None:
    """Torch's own decomposition bakes the length in, at the second export of a process or with named dimensions."""
    for _ in range(times):
        check_export(cell, torch.export.Dim("rows"), torch.export.Dim("length"))


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS)
def test_exports_with_dimensions_left_to_torch(cell: CellName) -> None:
    for _ in range(2):
        check_export(cell, torch.export.Dim.AUTO, torch.export.Dim.AUTO)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_exports_with_a_state(cell: CellName) -> None:
    model = Streamed(Recurrent(cell, 3, 4, 2)).eval()
    auto = torch.export.Dim.AUTO
    dims: tuple[dict[int, Any], ...] = ({0: auto, 1: auto}, {1: auto}, {1: auto})
    states = (noise(2, 3, 4, seed=5).float(), noise(2, 3, 4, seed=6).float())
    session = exported(model, (torch.randn(3, 7, 3), *states), dims)
    compare(session, model, (noise(2, 5, 3).float(), *(state[:, :2] for state in states)))


def test_a_projection_cannot_be_exported_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    with pytest.raises(ValueError, match="proj_size cannot be exported"):
        Recurrent("lstm", 3, 4, proj_size=2)(torch.randn(3, 7, 3))
