"""Activation functions by name."""

from __future__ import annotations

from typing import Literal

from torch import nn

ActivationName = Literal["relu", "gelu", "silu"]

_CLASSES: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}


def activation(name: ActivationName) -> nn.Module:
    """A new activation module.

    ``relu``: max(0, x); ``gelu``: x * Phi(x) with the exact normal distribution function (Hendrycks and Gimpel 2016);
    ``silu``: x * sigmoid(x), also called Swish.

    >>> activation("silu")
    SiLU()
    """
    return _CLASSES[name]()
