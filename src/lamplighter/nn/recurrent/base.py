"""What all recurrent layers share: weights under torch's names, their start, and the state they carry.

Legend: N rows, L positions, D input size, H hidden size, P size of a projection, B directions (1 or 2).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lamplighter.nn.recurrent.cells import GATES, CellName, State, Weights


class RecurrentBase(nn.Module):
    """Parameters of stacked recurrent layers, drawn from U(-1/sqrt(H), 1/sqrt(H)).

    They are named ``weight_ih_l0``, ``weight_hh_l0_reverse`` and so on as in ``torch.nn.LSTM``, whose state dicts load.

    Args:
        cell: ``lstm``, ``gru`` or ``rnn``.
        input_size: D.
        hidden_size: H.
        num_layers: each layer reads what the one below gives, both directions side by side.
        bidirectional: a second network reads each sequence from its end.
        bias: whether b_ih and b_hh exist.
        dropout: probability with which a number between two layers is set to 0 in training.
        proj_size: P, to which an LSTM's output is projected; 0: not at all.
        forget_bias: start of an LSTM's forget bias, see `set_forget_bias`; None: random like all others.

    Raises:
        ValueError: a size below 1, a projection of another cell than the LSTM's, or one that is not smaller than H.
    """

    def __init__(
        self,
        cell: CellName,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        bias: bool = True,
        dropout: float = 0.0,
        proj_size: int = 0,
        forget_bias: float | None = None,
    ) -> None:
        super().__init__()
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
            if size < 1:
                raise ValueError(f"{cell}: {name} is {size}; it must be at least 1")
        if proj_size and cell != "lstm":
            raise ValueError(f"{cell}: proj_size is {proj_size}, but only an lstm has a projection")
        if not 0 <= proj_size < hidden_size:
            raise ValueError(f"{cell}: proj_size is {proj_size}; it must be smaller than hidden_size ({hidden_size})")
        self.cell: CellName = cell
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bidirectional, self.bias, self.dropout, self.proj_size = bidirectional, bias, dropout, proj_size
        out = proj_size or hidden_size
        rows = GATES[cell] * hidden_size
        for layer in range(num_layers):
            width = input_size if layer == 0 else out * self.directions
            for suffix in self._suffixes(layer):
                shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, width), "weight_hh": (rows, out)}
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)} if bias else {}
                shapes |= {"weight_hr": (proj_size, hidden_size)} if proj_size else {}
                for name, shape in shapes.items():
                    self.register_parameter(name + suffix, nn.Parameter(torch.empty(shape)))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1 / math.sqrt(hidden_size), 1 / math.sqrt(hidden_size))
        if forget_bias is not None:
            set_forget_bias(self, forget_bias)

    @property
    def directions(self) -> int:
        """B."""
        return 2 if self.bidirectional else 1

    @property
    def output_size(self) -> int:
        """Width of the output: B H, or B P with a projection."""
        return self.directions * (self.proj_size or self.hidden_size)

    def weights(self, layer: int, direction: int) -> Weights:
        """Of one layer in one direction, 0 forward and 1 backward."""
        suffix = self._suffixes(layer)[direction]
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        return Weights(*(getattr(self, name + suffix, None) for name in names))  # type: ignore[arg-type]

    def initial_state(self, x: Tensor) -> State:
        """Zeros of the input's type, on its device: h (layers B, N, H or P), for an LSTM also c (layers B, N, H)."""
        entries = self.num_layers * self.directions
        h = x.new_zeros(entries, x.shape[0], self.proj_size or self.hidden_size)
        return (h, x.new_zeros(entries, x.shape[0], self.hidden_size)) if self.cell == "lstm" else (h,)

    def check(self, x: Tensor, state: State | None = None) -> None:
        """Raise a ValueError that names what does not fit: the input's shape, no positions, or the state's shape."""
        if x.dim() != 3 or x.shape[2] != self.input_size:
            raise ValueError(f"{self.cell}: x is {tuple(x.shape)}; it must be (N, L, {self.input_size})")
        if not torch.compiler.is_compiling() and x.shape[1] == 0:
            raise ValueError(f"{self.cell}: x has no positions (shape {tuple(x.shape)}): an empty sequence")
        wanted = self.num_layers * self.directions
        if state is not None and (len(state) != (2 if self.cell == "lstm" else 1) or state[0].shape[0] != wanted):
            raise ValueError(
                f"{self.cell}: a state is {'(h, c)' if self.cell == 'lstm' else '(h,)'} with {wanted} entries in front "
                f"(layers x directions), here {[tuple(part.shape) for part in state]}"
            )

    def check_stream(self) -> None:
        """Raise a ValueError when the network reads backwards too: it needs the end before it can begin."""
        if self.bidirectional:
            raise ValueError(
                f"a bidirectional {self.cell} cannot stream: its backward half starts at the last token, which has not "
                "come yet; use bidirectional: false, or give it whole sequences"
            )

    def extra_repr(self) -> str:
        return f"{self.cell}, {self.input_size}, {self.hidden_size}, num_layers={self.num_layers}" + (
            ", bidirectional=True" if self.bidirectional else ""
        )

    def _suffixes(self, layer: int) -> tuple[str, ...]:
        return (f"_l{layer}", f"_l{layer}_reverse")[: self.directions]


def set_forget_bias(module: nn.Module, value: float) -> None:
    """Give the forget gate of every layer the bias ``value`` (b_if + b_hf); other cells have none and stay.

    The memory's gradient shrinks by f = sigmoid(value + ...) in each step. At the usual start f is near 1/2 and nothing
    is left after some tens of steps; at 1 f is 0.73, at 3 it is 0.95 (Gers et al. 2000; Jozefowicz et al. 2015, "An
    Empirical Exploration of Recurrent Network Architectures").

    Args:
        module: a `RecurrentBase`, or ``torch.nn.LSTM``.
        value: of the sum of both biases.

    >>> lstm = nn.LSTM(3, 2)
    >>> set_forget_bias(lstm, 1.0)
    >>> (lstm.bias_ih_l0 + lstm.bias_hh_l0)[2:4]
    tensor([1., 1.], grad_fn=<SliceBackward0>)
    """
    if getattr(module, "cell", "lstm") != "lstm":
        return
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.startswith(("bias_ih", "bias_hh")):
                forget = parameter.view(4, -1)[1]
                forget.fill_(value if name.startswith("bias_ih") else 0.0)
