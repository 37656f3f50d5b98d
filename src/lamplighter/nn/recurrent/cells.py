"""RNN, GRU and LSTM: one step of each, written out, and the cells made of them.

Names and order of the weights are torch's (``nn.LSTMCell``): one matrix holds the rows of all gates, in the order
input, forget, candidate, output (i, f, g, o) for the LSTM and reset, update, new (r, z, n) for the GRU.

Legend: N rows, D input size, H hidden size, P size of a projection, G number of gates.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CellName = Literal["lstm", "gru", "rnn"]
Nonlinearity = Literal["tanh", "relu"]

State = tuple[Tensor, ...]
"""What a recurrent network carries from step to step: (h,) of an RNN or a GRU, (h, c) of an LSTM."""

GATES: dict[CellName, int] = {"rnn": 1, "gru": 3, "lstm": 4}


class Weights(NamedTuple):
    """What one layer knows in one direction.

    Attributes:
        ih: (G H, D), applied to the input.
        hh: (G H, H), applied to the hidden state; (G H, P) with a projection.
        bias_ih, bias_hh: (G H,), or None.
        hr: (P, H), the projection of an LSTM's output, or None.
    """

    ih: Tensor
    hh: Tensor
    bias_ih: Tensor | None = None
    bias_hh: Tensor | None = None
    hr: Tensor | None = None


def rnn_step(x: Tensor, state: State, weights: Weights, nonlinearity: Nonlinearity = "tanh") -> State:
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh) (Elman 1990, "Finding Structure in Time").

    Args:
        x: (N, D).
        state: (h,), h (N, H).
        weights: with G = 1.
        nonlinearity: tanh, or max(0, .).

    Returns:
        (h',), (N, H).
    """
    total = F.linear(x, weights.ih, weights.bias_ih) + F.linear(state[0], weights.hh, weights.bias_hh)
    return (torch.tanh(total) if nonlinearity == "tanh" else torch.relu(total),)


def gru_step(x: Tensor, state: State, weights: Weights) -> State:
    """Gated recurrent unit (Cho et al. 2014), with the reset gate behind the product, as cuDNN and torch have it.

    ====================  ==================================================
    reset gate            r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)
    update gate           z = sigmoid(W_iz x + b_iz + W_hz h + b_hz)
    new content           n = tanh(W_in x + b_in + r * (W_hn h + b_hn))
    hidden state          h' = (1 - z) * n + z * h
    ====================  ==================================================

    Args:
        x: (N, D).
        state: (h,), h (N, H).
        weights: with G = 3, in the order r, z, n.

    Returns:
        (h',), (N, H).
    """
    (h,) = state
    of_x = F.linear(x, weights.ih, weights.bias_ih).chunk(3, dim=1)
    of_h = F.linear(h, weights.hh, weights.bias_hh).chunk(3, dim=1)
    r = torch.sigmoid(of_x[0] + of_h[0])
    z = torch.sigmoid(of_x[1] + of_h[1])
    n = torch.tanh(of_x[2] + r * of_h[2])
    return ((1 - z) * n + z * h,)


def lstm_step(x: Tensor, state: State, weights: Weights) -> State:
    """Long short-term memory (Hochreiter and Schmidhuber 1997) with a forget gate (Gers et al. 2000).

    ====================  ==================================================
    input gate            i = sigmoid(W_ii x + b_ii + W_hi h + b_hi)
    forget gate           f = sigmoid(W_if x + b_if + W_hf h + b_hf)
    candidate memory      g = tanh(W_ig x + b_ig + W_hg h + b_hg)
    output gate           o = sigmoid(W_io x + b_io + W_ho h + b_ho)
    cell state            c' = f * c + i * g
    hidden state          h' = o * tanh(c'), times W_hr with a projection (Sak et al. 2014)
    ====================  ==================================================

    The cell state is changed by sums alone, and its gradient is multiplied by f in each step: it lasts as long as f is
    near 1, see `lamplighter.nn.recurrent.base.set_forget_bias`.

    Args:
        x: (N, D).
        state: (h, c); h (N, H), or (N, P) with a projection; c (N, H).
        weights: with G = 4, in the order i, f, g, o.

    Returns:
        (h', c'), shaped like the state.
    """
    h, c = state
    gates = F.linear(x, weights.ih, weights.bias_ih) + F.linear(h, weights.hh, weights.bias_hh)
    i, f, g, o = gates.chunk(4, dim=1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    return (h if weights.hr is None else F.linear(h, weights.hr)), c


class _Cell(nn.Module):
    """Weights of one step under the names of torch's cells."""

    def __init__(self, gates: int, input_size: int, hidden_size: int, bias: bool) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        bound = 1 / math.sqrt(hidden_size)
        rows = gates * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size).uniform_(-bound, bound))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size).uniform_(-bound, bound))
        self.bias_ih = nn.Parameter(torch.empty(rows).uniform_(-bound, bound)) if bias else None
        self.bias_hh = nn.Parameter(torch.empty(rows).uniform_(-bound, bound)) if bias else None

    @property
    def weights(self) -> Weights:
        return Weights(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)

    def _start(self, x: Tensor) -> Tensor:
        """Zeros of the input's type, on its device."""
        return x.new_zeros(x.shape[0], self.hidden_size)


class RNNCell(_Cell):
    """`rnn_step` with weights; names and results of ``torch.nn.RNNCell``.

    Args:
        input_size: D.
        hidden_size: H.
        bias: whether b_ih and b_hh exist.
        nonlinearity: ``tanh`` or ``relu``.

    Shapes:
        x (N, D), h (N, H) or None for zeros -> h' (N, H)

    >>> RNNCell(3, 5)(torch.zeros(2, 3)).shape
    torch.Size([2, 5])
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: Nonlinearity = "tanh"
    ) -> None:
        super().__init__(1, input_size, hidden_size, bias)
        self.nonlinearity: Nonlinearity = nonlinearity

    def forward(self, x: Tensor, h: Tensor | None = None) -> Tensor:
        return rnn_step(x, (self._start(x) if h is None else h,), self.weights, self.nonlinearity)[0]


class GRUCell(_Cell):
    """`gru_step` with weights; names and results of ``torch.nn.GRUCell``.

    Args:
        input_size: D.
        hidden_size: H.
        bias: whether b_ih and b_hh exist.

    Shapes:
        x (N, D), h (N, H) or None for zeros -> h' (N, H)
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__(3, input_size, hidden_size, bias)

    def forward(self, x: Tensor, h: Tensor | None = None) -> Tensor:
        return gru_step(x, (self._start(x) if h is None else h,), self.weights)[0]


class LSTMCell(_Cell):
    """`lstm_step` with weights; names and results of ``torch.nn.LSTMCell``.

    Args:
        input_size: D.
        hidden_size: H.
        bias: whether b_ih and b_hh exist.

    Shapes:
        x (N, D), state (h, c) of (N, H) each or None for zeros -> (h', c')

    >>> h, c = LSTMCell(3, 5)(torch.zeros(2, 3))
    >>> h.shape, c.shape
    (torch.Size([2, 5]), torch.Size([2, 5]))
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__(4, input_size, hidden_size, bias)

    def forward(self, x: Tensor, state: State | None = None) -> State:
        return lstm_step(x, (self._start(x), self._start(x)) if state is None else state, self.weights)
