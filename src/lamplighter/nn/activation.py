"""Activation functions by name."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Literal

from torch import nn

from lamplighter.core.errors import UnknownComponentError
from lamplighter.core.registry import did_you_mean

ActivationName = Literal[
    "relu",
    "leaky-relu",
    "prelu",
    "elu",
    "selu",
    "sigmoid",
    "tanh",
    "gelu",
    "gelu-tanh",
    "silu",
    "swish",
    "mish",
    "hardswish",
]
"""Functions of each number by itself, which may stand between any two layers."""

_MAKERS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky-relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softmax": functools.partial(nn.Softmax, dim=-1),
    "gelu": nn.GELU,
    "gelu-tanh": functools.partial(nn.GELU, approximate="tanh"),
    "silu": nn.SiLU,
    "swish": nn.SiLU,
    "mish": nn.Mish,
    "hardswish": nn.Hardswish,
}


def activation(name: ActivationName | Literal["softmax"]) -> nn.Module:
    """A new activation module: torch's own class under one short name.

    * ``relu``: max(0, x). ``leaky-relu``: x where positive, else 0.01 x. ``prelu``: likewise with a trained slope that
      starts at 0.25 (He et al. 2015).
    * ``elu``: x where positive, else e^x - 1 (Clevert et al. 2016). ``selu``: 1.0507 times ELU with alpha 1.6733, whose
      fixed point is mean 0 and variance 1 (Klambauer et al. 2017).
    * ``sigmoid``: 1 / (1 + e^-x). ``tanh``: (e^x - e^-x) / (e^x + e^-x).
    * ``gelu``: x Phi(x) with the exact normal distribution function (Hendrycks and Gimpel 2016), as in BERT and ViT;
      ``gelu-tanh``: 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), as in GPT-2. They differ by up to 4.7e-4.
    * ``silu``, also called ``swish``: x sigmoid(x) (Ramachandran et al. 2017). ``mish``: x tanh(log(1 + e^x)) (Misra
      2019). ``hardswish``: x min(max(x + 3, 0), 6) / 6 (Howard et al. 2019).
    * ``softmax``: e^x_i / sum_j e^x_j over the last dimension. It belongs to outputs and attention, not between layers:
      no recipe offers it there.

    Raises:
        UnknownComponentError: no such name.

    >>> activation("silu")
    SiLU()
    """
    if name not in _MAKERS:
        raise UnknownComponentError(
            f"unknown activation '{name}'{did_you_mean(name, names())}; known: {', '.join(names())}"
        )
    return _MAKERS[name]()


def names() -> list[str]:
    """All names that `activation` knows, in alphabetical order."""
    return sorted(_MAKERS)
