"""Gated linear units: GLU, SwiGLU, GEGLU, ReGLU, and the feed-forward network of Llama that is made of one."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from lamplighter.nn.activation import ActivationName
from lamplighter.nn.activation import activation as make_activation

GLUName = Literal["glu", "swiglu", "geglu", "reglu"]

_GATES: dict[str, ActivationName] = {"glu": "sigmoid", "swiglu": "silu", "geglu": "gelu", "reglu": "relu"}


class GLU(nn.Module):
    """value * act(gate), where the input's last dimension holds value and gate side by side (Shazeer 2020, "GLU
    Variants Improve Transformer").

    The gate decides, number by number, how much of the value passes. ``glu`` (Dauphin et al. 2017) has the sigmoid as
    its act and equals ``torch.nn.GLU``; ``swiglu`` has SiLU, ``geglu`` the exact GELU, ``reglu`` ReLU.

    Args:
        name: which act.

    Shapes:
        (..., 2 D) -> (..., D)

    Raises:
        ValueError: the last dimension is odd.

    >>> import torch
    >>> GLU("reglu")(torch.tensor([[1.0, 2.0, 3.0, -4.0]]))
    tensor([[3., 0.]])
    """

    def __init__(self, name: GLUName = "glu") -> None:
        super().__init__()
        self.name = name
        self.act = make_activation(_GATES[name])

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] % 2:
            raise ValueError(
                f"GLU('{self.name}'): the last dimension must be even, value and gate; it is {x.shape[-1]}"
            )
        value, gate = x.chunk(2, dim=-1)
        gated: Tensor = value * self.act(gate)
        return gated

    def extra_repr(self) -> str:
        return f"'{self.name}'"


class GatedFeedForward(nn.Module):
    """down(act(gate(x)) * up(x)): the feed-forward network of Llama (SwiGLU), under its names.

    Three matrices instead of two: with hidden = 2/3 of the usual width it has as many parameters as the plain one.

    Args:
        width: numbers at each position, in and out.
        hidden: numbers in between.
        activation: of the gate; ``silu`` gives SwiGLU, ``gelu`` GEGLU, ``relu`` ReGLU, ``sigmoid`` GLU.
        bias: whether the three layers have one.

    Shapes:
        (..., width) -> (..., width)

    >>> sum(p.numel() for p in GatedFeedForward(8, 12).parameters())
    288
    """

    def __init__(self, width: int, hidden: int, activation: ActivationName = "silu", bias: bool = False) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, hidden, bias=bias)
        self.up_proj = nn.Linear(width, hidden, bias=bias)
        self.down_proj = nn.Linear(hidden, width, bias=bias)
        self.act_fn = make_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x))
        return h
