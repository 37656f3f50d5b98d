"""Recurrent layers over torch's kernels, with masks, that can be exported: what the models are made of.

A packed sequence cannot be exported to ONNX, and torch's own decomposition of its kernels bakes the length of the
example in, or copies the whole output in each step of a loop. Here

* padding is at the end of a row, so the forward half never meets it before the real tokens, and the backward half reads
  each row through ``x[row, reversed position]``, its real tokens last to first: equal to the packed sequence;
* in an export each layer and direction is ONNX's own operator (LSTM, GRU, RNN), whose kernel the server then runs.

Legend: N rows, L positions, D input size, H hidden size, B directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lamplighter.core.errors import InputError
from lamplighter.nn.masks import last_token
from lamplighter.nn.recurrent.base import RecurrentBase
from lamplighter.nn.recurrent.cells import CellName, State, Weights

_ONNX_ORDER = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}
"""Where ONNX's gates stand among ours: i, o, f, c and z, r, h."""


class _Kernels(RecurrentBase):
    """What the layers below share: torch's kernel, or in an export ONNX's operators."""

    def stream(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """The next piece of sequences without padding, and the state after it: pieces give what the whole gives.

        Args:
            x: (N, L, D).
            state: (h,) or (h, c), each (layers, N, H); None at the beginning.

        Raises:
            ValueError: the network is bidirectional.
        """
        self.check_stream()
        self.check(x, state)
        x = x.to(self.weight_ih_l0.dtype)  # type: ignore[arg-type]
        if torch.onnx.is_in_onnx_export():
            return self._exported_stream(x, state)
        start = self.initial_state(x) if state is None else tuple(part.to(x).contiguous() for part in state)
        return self._kernel(x, start, range(self.num_layers), False)

    def _layer(self, x: Tensor, layer: int, direction: int) -> Tensor:
        """One layer in one direction over whole sequences."""
        if torch.onnx.is_in_onnx_export():
            return _onnx_layer(self.cell, x, self.weights(layer, direction), self.hidden_size, None)[0]
        start = tuple(part[:1] for part in self.initial_state(x))
        return self._kernel(x, start, [layer], False, direction)[0]

    def _kernel(
        self, x: Tensor, state: State, layers: Sequence[int], bidirectional: bool, direction: int = 0
    ) -> tuple[Tensor, State]:
        """Torch's kernel over some layers; with ``bidirectional`` over both directions of each."""
        directions = (0, 1) if bidirectional else (direction,)
        flat = [
            weight
            for layer in layers
            for each in directions
            for weight in self.weights(layer, each)
            if weight is not None
        ]
        options: tuple[Any, ...] = (
            flat, self.bias, len(layers), self.dropout if len(layers) > 1 else 0.0, self.training, bidirectional, True
        )  # fmt: skip
        if self.cell == "lstm":
            output, h, c = torch.lstm(x, state, *options)
            return output, (h, c)
        output, h = (torch.gru if self.cell == "gru" else torch.rnn_tanh)(x, state[0], *options)
        return output, (h,)

    def _exported_stream(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        finals: list[State] = []
        for layer in range(self.num_layers):
            start = None if state is None else tuple(part[layer : layer + 1] for part in state)
            x, final = _onnx_layer(self.cell, x, self.weights(layer, 0), self.hidden_size, start)
            finals.append(final)
        return x, tuple(torch.cat(parts) for parts in zip(*finals))


class Recurrent(_Kernels):
    """Stacked LSTM, GRU or RNN (tanh) layers; weights, names and results of ``torch.nn.LSTM``, ``GRU`` and ``RNN``.

    Args:
        cell: ``lstm``, ``gru`` or ``rnn``.
        input_size: D.
        hidden_size: H.
        num_layers, bidirectional, bias, dropout, proj_size, forget_bias: as for `RecurrentBase`. A network with a
            projection cannot be exported, since ONNX has none.

    Shapes:
        x (N, L, D), attention_mask (N, L) or None -> (N, L, B H), zeros at padding

    >>> layer = Recurrent("lstm", 3, 5, bidirectional=True)
    >>> layer(torch.randn(2, 4, 3), torch.tensor([[True, True, True, True], [True, True, False, False]]))[1, 2:].any()
    tensor(False)
    """

    def forward(self, x: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Outputs of whole sequences, each read from zeros.

        Args:
            x: (N, L, D).
            attention_mask: (N, L), True where a token is real; padding only behind the real tokens. None: all are.

        Raises:
            InputError: padding before a real token.
        """
        self.check(x)
        _check_padding(self.cell, attention_mask)
        x = x.to(self.weight_ih_l0.dtype)  # type: ignore[arg-type]
        if attention_mask is None and not torch.onnx.is_in_onnx_export():
            return self._kernel(x, self.initial_state(x), range(self.num_layers), self.bidirectional)[0]
        reversal = _reversal(x, attention_mask) if self.bidirectional else None
        below = x
        for layer in range(self.num_layers):
            outputs = [self._layer(below, layer, 0)]
            if reversal is not None:
                outputs.append(self._layer(below[reversal], layer, 1)[reversal])
            below = torch.cat(outputs, dim=2)
            if layer + 1 < self.num_layers:
                below = F.dropout(below, self.dropout, self.training)
        return below if attention_mask is None else below * attention_mask.unsqueeze(2).to(below.dtype)

    def final(self, output: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """What the top layer knows after the whole sequence: forward at the last real token, backward at the first.

        The backward half at the last position has seen one token only; taking that is a common mistake.

        Args:
            output: of `forward`, (N, L, B H).
            attention_mask: as given to it.

        Returns:
            (N, B H).
        """
        if attention_mask is None:
            last = output[:, -1]
        else:
            index = last_token(attention_mask).view(-1, 1, 1).expand(-1, 1, output.shape[2])
            last = output.gather(1, index).squeeze(1)
        if not self.bidirectional:
            return last
        half = output.shape[2] // 2
        return torch.cat([last[:, :half], output[:, 0, half:]], dim=1)


class RecurrentDecoder(_Kernels):
    """As `Recurrent` in one direction, from a given state: the decoder of an encoder-decoder network.

    Args:
        cell: ``lstm``, ``gru`` or ``rnn``.
        input_size: D.
        hidden_size: H.
        num_layers, bias, dropout, forget_bias: as for `RecurrentBase`.

    Shapes:
        x (N, L, D), state of (layers, N, H) or None -> (N, L, H), state

    >>> output, state = RecurrentDecoder("gru", 3, 5)(torch.randn(2, 4, 3))
    >>> torch.equal(output[:, -1], state[0][0])
    True
    """

    def __init__(
        self,
        cell: CellName,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        dropout: float = 0.0,
        forget_bias: float | None = None,
    ) -> None:
        super().__init__(cell, input_size, hidden_size, num_layers, False, bias, dropout, 0, forget_bias)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """See `stream`."""
        return self.stream(x, state)


def _check_padding(cell: str, mask: Tensor | None) -> None:
    """Whether padding stands behind; not looked at where there are no values to look at."""
    if mask is None or mask.is_meta or torch.compiler.is_compiling():
        return
    early = (mask[:, 1:] & ~mask[:, :-1]).any(dim=1)
    if early.any():
        row = int(early.nonzero()[0])
        raise InputError(f"{cell}: row {row} of attention_mask has padding before a real token; put it at the end")


def _reversal(x: Tensor, attention_mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Indices under which each row's real tokens stand last to first and padding stays; their own inverse."""
    position_1L = torch.arange(x.shape[1], device=x.device).unsqueeze(0)
    row_N1 = torch.arange(x.shape[0], device=x.device).unsqueeze(1)
    if attention_mask is None:
        return row_N1, position_1L.flip(1).expand(x.shape[0], -1)
    last_N1 = attention_mask.sum(dim=1, keepdim=True) - 1
    return row_N1, torch.where(position_1L <= last_N1, last_N1 - position_1L, position_1L)


def _onnx_layer(cell: str, x: Tensor, weights: Weights, hidden: int, state: State | None) -> tuple[Tensor, State]:
    """One layer in one direction as an ONNX operator, for graphs that are being exported."""
    if weights.hr is not None:
        raise ValueError("an lstm with proj_size cannot be exported to ONNX, whose LSTM has no projection")
    order = list(_ONNX_ORDER[cell])

    def turned(weight: Tensor) -> Tensor:
        return weight.unflatten(0, (len(order), hidden))[order].flatten(0, 1).unsqueeze(0)

    inputs: list[Tensor | None] = [x.transpose(0, 1), turned(weights.ih), turned(weights.hh)]
    if weights.bias_ih is not None and weights.bias_hh is not None:
        inputs.append(torch.cat([turned(weights.bias_ih), turned(weights.bias_hh)], dim=1))
    elif state is not None:
        inputs.append(None)
    if state is not None:
        inputs += [None, *state]  # None: the lengths, which the caller has dealt with
    attributes: dict[str, Any] = {"hidden_size": hidden}
    if cell == "gru":
        attributes["linear_before_reset"] = 1
    rows, length, states = x.shape[0], x.shape[1], 2 if cell == "lstm" else 1
    output, *final = torch.onnx.ops.symbolic_multi_out(
        {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}[cell],
        inputs,
        attributes,
        dtypes=(x.dtype,) * (1 + states),
        shapes=((length, 1, rows, hidden), *((1, rows, hidden),) * states),
        version=20,
    )
    return output.squeeze(1).transpose(0, 1), tuple(final)
