"""RNN, GRU and LSTM layers as a loop over time that can be read: what the kernels of `kernels.py` are held against.

They equal ``torch.nn.RNN``, ``GRU`` and ``LSTM`` (``batch_first``) with the same state dict, packed sequences, several
layers, both directions and projections included. Models use `lamplighter.nn.recurrent.kernels`, which is faster and
can be exported; a loop in Python cannot.

Legend: N rows, L positions, D input size, H hidden size, B directions.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lamplighter.nn.recurrent.base import RecurrentBase
from lamplighter.nn.recurrent.cells import Nonlinearity, State, Weights, gru_step, lstm_step, rnn_step


class _Layers(RecurrentBase):
    """The loop over layers, directions and time; a subclass says what one step is."""

    def step(self, x: Tensor, state: State, weights: Weights) -> State:
        """One step of one layer in one direction: x (N, D), state of (N, H) -> the next state."""
        raise NotImplementedError

    def forward(self, x: Tensor, lengths: Tensor | None = None, state: State | None = None) -> tuple[Tensor, State]:
        """All outputs and the final state.

        Args:
            x: (N, L, D).
            lengths: (N,), how many of a row's first positions are real, at least 1; None: all are. Behind them the
                output is 0, and the final state is the one after the last real position.
            state: to start from, (layers B, N, H); None: zeros.

        Returns:
            Outputs of the top layer (N, L, B H), and the final state of every layer and direction.
        """
        self.check(x, state)
        start = self.initial_state(x) if state is None else tuple(part.to(x) for part in state)
        finals: list[State] = []
        below = x
        for layer in range(self.num_layers):
            outputs = []
            for direction in range(self.directions):
                entry = layer * self.directions + direction
                output, final = self._sweep(
                    below, tuple(part[entry] for part in start), self.weights(layer, direction), lengths, direction == 1
                )
                outputs.append(output)
                finals.append(final)
            below = torch.cat(outputs, dim=2)
            if layer + 1 < self.num_layers:
                below = F.dropout(below, self.dropout, self.training)
        return below, tuple(torch.stack(parts) for parts in zip(*finals))

    def stream(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """The next piece of a sequence: pieces with the carried state give what the whole gives at once.

        Raises:
            ValueError: the network is bidirectional.
        """
        self.check_stream()
        return self(x, state=state)

    def _sweep(
        self, x: Tensor, state: State, weights: Weights, lengths: Tensor | None, backward: bool
    ) -> tuple[Tensor, State]:
        """One layer in one direction. At a position that is not real the state stays as it is."""
        size = x.shape[1]
        outputs: list[Tensor] = [x] * size
        for t in reversed(range(size)) if backward else range(size):
            after = self.step(x[:, t], state, weights)
            if lengths is None:
                state, outputs[t] = after, after[0]
                continue
            real = (t < lengths).unsqueeze(1)
            state = tuple(torch.where(real, new, old) for new, old in zip(after, state))
            outputs[t] = after[0] * real.to(x.dtype)
        return torch.stack(outputs, dim=1), state


class RNN(_Layers):
    """Elman's recurrent network, see `lamplighter.nn.recurrent.cells.rnn_step`.

    Args:
        input_size: D.
        hidden_size: H.
        num_layers, bidirectional, bias, dropout: as for `RecurrentBase`.
        nonlinearity: ``tanh`` or ``relu``.

    Shapes:
        (N, L, D) -> (N, L, B H), state (h,)

    >>> output, (h,) = RNN(3, 5)(torch.randn(2, 4, 3))
    >>> torch.equal(output[:, -1], h[0])
    True
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        bias: bool = True,
        dropout: float = 0.0,
        nonlinearity: Nonlinearity = "tanh",
    ) -> None:
        super().__init__("rnn", input_size, hidden_size, num_layers, bidirectional, bias, dropout)
        self.nonlinearity: Nonlinearity = nonlinearity

    def step(self, x: Tensor, state: State, weights: Weights) -> State:
        return rnn_step(x, state, weights, self.nonlinearity)


class GRU(_Layers):
    """Gated recurrent units, see `lamplighter.nn.recurrent.cells.gru_step`.

    Args:
        input_size: D.
        hidden_size: H.
        num_layers, bidirectional, bias, dropout: as for `RecurrentBase`.

    Shapes:
        (N, L, D) -> (N, L, B H), state (h,)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__("gru", input_size, hidden_size, num_layers, bidirectional, bias, dropout)

    def step(self, x: Tensor, state: State, weights: Weights) -> State:
        return gru_step(x, state, weights)


class LSTM(_Layers):
    """Long short-term memory, see `lamplighter.nn.recurrent.cells.lstm_step`.

    Args:
        input_size: D.
        hidden_size: H.
        num_layers, bidirectional, bias, dropout, proj_size, forget_bias: as for `RecurrentBase`.

    Shapes:
        (N, L, D) -> (N, L, B H), state (h, c); with a projection the output and h are P wide

    >>> output, (h, c) = LSTM(3, 5, num_layers=2, bidirectional=True)(torch.randn(2, 4, 3))
    >>> output.shape, h.shape
    (torch.Size([2, 4, 10]), torch.Size([4, 2, 5]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        bias: bool = True,
        dropout: float = 0.0,
        proj_size: int = 0,
        forget_bias: float | None = None,
    ) -> None:
        super().__init__(
            "lstm", input_size, hidden_size, num_layers, bidirectional, bias, dropout, proj_size, forget_bias
        )

    def step(self, x: Tensor, state: State, weights: Weights) -> State:
        return lstm_step(x, state, weights)
