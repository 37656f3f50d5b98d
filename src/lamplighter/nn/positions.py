"""How attention learns where a token stands: sinusoidal, learned, rotary (RoPE) and linear biases (ALiBi)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lamplighter.core.errors import InputError


def sinusoidal(length: int, width: int) -> Tensor:
    """sin(p / 10000^(2i / width)) in even columns, the cosine of the same angle in odd ones (Vaswani et al. 2017).

    In float64: at position 8192 an angle in float32 is off by 5e-4. With an odd width the last cosine is left out.

    Shapes:
        -> (length, width), float64

    >>> sinusoidal(2, 4)
    tensor([[0.0000, 1.0000, 0.0000, 1.0000],
            [0.8415, 0.5403, 0.0100, 1.0000]], dtype=torch.float64)
    """
    angles = torch.arange(length, dtype=torch.float64)[:, None] * _frequencies(width, 10_000.0)
    table = torch.empty(length, width, dtype=torch.float64)
    table[:, 0::2] = angles.sin()
    table[:, 1::2] = angles.cos()[:, : width // 2]
    return table


class SinusoidalPositions(nn.Module):
    """x + `sinusoidal`, computed in float64 and rounded once to the type of x, whatever type the module is moved to.

    Args:
        width: of the embeddings.
        max_length: positions in the table.

    Shapes:
        (N, L, width) -> (N, L, width)

    Raises:
        InputError: positions beyond the table, naming both numbers.
    """

    table: Tensor

    def __init__(self, width: int, max_length: int = 5000) -> None:
        super().__init__()
        self.width, self.max_length = width, max_length
        self.register_buffer("table", sinusoidal(max_length, width).to(torch.get_default_dtype()), persistent=False)

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        """Add the positions ``offset`` to ``offset + L - 1``."""
        length = x.shape[1]
        check_length(offset + length, self.max_length, "SinusoidalPositions", "max_length")
        return x + self.table[offset : offset + length].to(x.dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        # ``.double()`` of the rounded table would keep the rounding: make it anew.
        super()._apply(fn, recurse)
        self.table = sinusoidal(self.max_length, self.width).to(self.table)
        return self


class LearnedPositions(nn.Embedding):
    """A trained vector for each position, as in BERT and GPT-2; ``weight`` is that of ``torch.nn.Embedding``.

    Args:
        max_length: positions that have one.
        width: of the embeddings.
        argument: what the model calls ``max_length``, for the message.

    Shapes:
        positions (N, L) of int64 -> (N, L, width)
    """

    def __init__(self, max_length: int, width: int, argument: str = "max_length") -> None:
        super().__init__(max_length, width)
        self.argument = argument

    def check(self, length: int, owner: str) -> None:
        """Raise an InputError when a sequence is longer than the table."""
        check_length(length, self.num_embeddings, owner, self.argument)


class RotaryPositions(nn.Module):
    """Rotary position embedding (Su et al. 2021): the pair (i, i + D/2) of a head turns by p * theta^(-2i / D).

    Queries and keys are turned, so a score depends on the distance of two tokens only. Pairs lie half a head apart, as
    Hugging Face has them ("rotate half"); the paper pairs neighbours, the same up to an order of the dimensions. Angles
    are computed in float64, whatever type the model has: at position 100,000 float32 is off by 4e-3.

    Args:
        head_dim: D, even.
        theta: 10,000 in the paper; larger for long contexts.

    Shapes:
        positions (N, L) -> cos and sin, (N, 1, L, D)

    >>> cos, sin = RotaryPositions(4)(torch.tensor([[0, 1]]), torch.float32)
    >>> rotate(torch.tensor([1.0, 1.0, 0.0, 0.0]).expand(1, 1, 2, 4), cos, sin)[0, 0]
    tensor([[1.0000, 1.0000, 0.0000, 0.0000],
            [0.5403, 0.9999, 0.8415, 0.0100]])
    """

    frequencies: Tensor

    def __init__(self, head_dim: int, theta: float = 10_000.0) -> None:
        super().__init__()
        if head_dim % 2:
            raise ValueError(f"RotaryPositions: head_dim {head_dim} is odd; dimensions turn in pairs")
        self.head_dim, self.theta = head_dim, theta
        self.register_buffer("frequencies", _frequencies(head_dim, theta), persistent=False)

    def forward(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosines and sines of the positions' angles, rounded to ``dtype``."""
        angles = positions[:, None, :, None].to(self.frequencies.dtype) * self.frequencies
        both = torch.cat([angles, angles], -1)
        return both.cos().to(dtype), both.sin().to(dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        # ``.half()`` must not round the frequencies; Apple's devices have no float64.
        super()._apply(fn, recurse)
        device = self.frequencies.device
        exact = _frequencies(self.head_dim, self.theta)
        self.frequencies = exact.float().to(device) if device.type == "mps" else exact.to(device)
        return self


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn queries or keys by what `RotaryPositions` gives.

    Shapes:
        (N, H, L, D), (N, 1, L, D), (N, 1, L, D) -> (N, H, L, D)
    """
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat([-second, first], -1) * sin


def alibi(heads: int, queries: int, keys: int | None = None, *, device: torch.device | None = None) -> Tensor:
    """Attention with linear biases (Press et al. 2022): scores fall with the distance, by another slope in each head.

    The slopes of 8 heads are 1/2, 1/4, ... 1/256; of a number that is no power of 2, those of the next lower one, then
    every second of twice as many. Goes as ``bias`` into `lamplighter.nn.attention.attend`; queries stand at the last
    positions. Distances to later keys count alike, so it serves encoders too.

    Shapes:
        -> (1, heads, queries, keys)

    >>> alibi(2, 3)[0, 0]
    tensor([[-0.0000, -0.0625, -0.1250],
            [-0.0625, -0.0000, -0.0625],
            [-0.1250, -0.0625, -0.0000]])
    """
    keys = queries if keys is None else keys
    own = torch.arange(queries, device=device)[:, None] + (keys - queries)
    distance = (own - torch.arange(keys, device=device)).abs()
    slopes = torch.tensor(_slopes(heads), device=device)
    return -slopes[None, :, None, None] * distance


def check_length(length: int, limit: int, owner: str, argument: str) -> None:
    """Raise an InputError when a sequence is longer than what a model has positions for."""
    if not torch.compiler.is_compiling() and length > limit:
        raise InputError(
            f"{owner}: a sequence of {length} tokens is longer than the {limit} positions the model has ({argument}); "
            "shorten it, or build the model with more"
        )


def _frequencies(width: int, theta: float) -> Tensor:
    return theta ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)


def _slopes(heads: int) -> list[float]:
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * (head + 1) / power) for head in range(power)]
    return slopes if power == heads else slopes + _slopes(2 * power)[0::2][: heads - power]
