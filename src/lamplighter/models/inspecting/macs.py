"""Multiply-accumulate operations (MACs), counted where they happen: in the kernels of matrix products, convolutions and
attention, called by layers and by functions alike.

One MAC is a multiplication and an addition. torch's ``FlopCounterMode`` counts two FLOPs for it: its numbers are twice
these. As in papers, element-wise work (biases, norms, activations, softmax) is not counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


def _matrix(a: Tensor, b: Tensor) -> int:
    """(..., n, k) by (..., k, m): each of the n m results is a sum of k products. A vector counts as n or m of 1."""
    columns = b.shape[-1] if b.dim() > 1 else 1
    return a.numel() * columns


def _convolution(x: Tensor, weight: Tensor, transposed: bool, out: Tensor) -> int:
    """Each output (of a transposed convolution: each input) is multiplied with one kernel over the group's channels."""
    return (x if transposed else out).numel() * math.prod(weight.shape[1:])


def _attention(q: Tensor, k: Tensor, v: Tensor) -> int:
    """Scores and weighted sum over all pairs, masked or not: (N, H, Lq, D), (N, H, Lk, D), (N, H, Lk, E)."""
    return q.numel() * k.shape[-2] + math.prod(q.shape[:-1]) * k.shape[-2] * v.shape[-1]


def _recurrent(x: Tensor, weights: Sequence[Tensor]) -> int:
    """A fused layer, or several: each matrix works once on each position of each row, (..., D)."""
    return x.numel() // x.shape[-1] * sum(weight.numel() for weight in weights if weight.dim() == 2)


_FORMULAS: dict[str, Callable[[Any, Any], int]] = {  # of the arguments and the result
    "mm": lambda args, _: _matrix(args[0], args[1]),
    "bmm": lambda args, _: _matrix(args[0], args[1]),
    "mv": lambda args, _: _matrix(args[0], args[1]),
    "dot": lambda args, _: _matrix(args[0], args[1]),
    "addmm": lambda args, _: _matrix(args[1], args[2]),
    "addmv": lambda args, _: _matrix(args[1], args[2]),
    "addbmm": lambda args, _: _matrix(args[1], args[2]),
    "baddbmm": lambda args, _: _matrix(args[1], args[2]),
    "mkldnn_rnn_layer": lambda args, _: _recurrent(args[0], args[1:3]),
    "_cudnn_rnn": lambda args, _: _recurrent(args[0], args[1]),
    "convolution": lambda args, out: _convolution(args[0], args[1], args[6], out),
}
_ATTENTION = "_scaled_dot_product_"


class MacCounter(TorchDispatchMode):
    """Adds up the MACs of everything that runs within ``with MacCounter(...)``.

    Args:
        add: told the number of each kernel call.

    >>> counts = []
    >>> with MacCounter(counts.append):
    ...     _ = torch.ones(2, 3) @ torch.ones(3, 4)
    >>> counts
    [24]
    """

    def __init__(self, add: Callable[[int], None]) -> None:
        super().__init__()
        self._add = add

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in _FORMULAS:
            self._add(_FORMULAS[name](args, out))
        elif name.startswith(_ATTENTION) and "backward" not in name:
            self._add(_attention(*args[:3]))
        return out


@contextmanager
def visible() -> Iterator[None]:
    """Within the block torch does not fuse attention layers into single kernels that hide their products."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
