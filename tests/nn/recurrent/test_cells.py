"""One step of each cell against torch's cells, and against the formulas written element by element."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from parity import noise, randomised, relative
from torch import nn

from lamplighter.nn.recurrent import cells

CELLS: list[tuple[Any, Any, dict[str, Any]]] = [
    (cells.RNNCell, nn.RNNCell, {}),
    (cells.RNNCell, nn.RNNCell, {"nonlinearity": "relu"}),
    (cells.GRUCell, nn.GRUCell, {}),
    (cells.LSTMCell, nn.LSTMCell, {}),
    (cells.LSTMCell, nn.LSTMCell, {"bias": False}),
]


@pytest.mark.parametrize(("own", "theirs", "options"), CELLS)
def test_equals_torchs_cell(own: Any, theirs: Any, options: dict[str, Any]) -> None:
    """Strictly loaded; outputs, and gradients of every weight, with a given state and from zeros."""
    reference = randomised(theirs(3, 5, **options).double())
    ours = own(3, 5, **options).double()
    ours.load_state_dict(reference.state_dict(), strict=True)
    h, c = noise(4, 5, seed=2), noise(4, 5, seed=3)
    state = (h, c) if theirs is nn.LSTMCell else h
    for given in (state, None):
        outputs = [cell(noise(4, 3), given) for cell in (ours, reference)]
        pairs = zip(*(output if isinstance(output, tuple) else (output,) for output in outputs))
        assert max(relative(a, b) for a, b in pairs) <= 1e-12
        for output in outputs:
            sum(part.square().sum() for part in (output if isinstance(output, tuple) else (output,))).backward()  # type: ignore[union-attr]
        expected = dict(reference.named_parameters())
        assert max(relative(p.grad, expected[n].grad) for n, p in ours.named_parameters()) <= 1e-12  # type: ignore[arg-type]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_an_lstm_step_is_its_six_formulas() -> None:
    """One unit, one input, by hand: gates stand in the order i, f, g, o."""
    weights = cells.Weights(
        torch.tensor([[0.1], [0.2], [0.3], [0.4]], dtype=torch.float64),
        torch.tensor([[0.5], [0.6], [0.7], [0.8]], dtype=torch.float64),
        torch.tensor([0.01, 0.02, 0.03, 0.04], dtype=torch.float64),
        torch.tensor([0.05, 0.06, 0.07, 0.08], dtype=torch.float64),
    )
    x, h, c = 2.0, -0.5, 1.5
    state = (torch.tensor([[h]], dtype=torch.float64), torch.tensor([[c]], dtype=torch.float64))
    i, f = sigmoid(0.1 * x + 0.5 * h + 0.06), sigmoid(0.2 * x + 0.6 * h + 0.08)
    g, o = math.tanh(0.3 * x + 0.7 * h + 0.10), sigmoid(0.4 * x + 0.8 * h + 0.12)
    next_c = f * c + i * g
    found = cells.lstm_step(torch.tensor([[x]], dtype=torch.float64), state, weights)
    assert found[1].item() == pytest.approx(next_c, rel=1e-14)
    assert found[0].item() == pytest.approx(o * math.tanh(next_c), rel=1e-14)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_state_starts_in_the_type_of_the_input(dtype: torch.dtype) -> None:
    for cell in (cells.RNNCell(3, 5), cells.GRUCell(3, 5)):
        assert cell.to(dtype)(torch.zeros(2, 3, dtype=dtype)).dtype == dtype
    h, c = cells.LSTMCell(3, 5).to(dtype)(torch.zeros(2, 3, dtype=dtype))
    assert h.dtype == c.dtype == dtype
