"""Scaled dot-product attention: one function through torch's fused kernels, one that also returns the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor
from torch.nn import functional as F

from lamplighter.nn.masks import causal_mask, combine

_MAPS: ContextVar[list[Tensor] | None] = ContextVar("attention maps", default=None)


@contextmanager
def recorded_weights() -> Iterator[list[Tensor]]:
    """Collect the weights of every attention computed inside the block, in the order of the layers.

    Each is (N, H, Lq, Lk), detached. Works for every model built on `attend`; the output stays the same, to rounding.

    >>> x = torch.zeros(1, 1, 2, 4)
    >>> with recorded_weights() as maps:
    ...     _ = attend(x, x, x, causal=True)
    >>> maps[0].squeeze()
    tensor([[1.0000, 0.0000],
            [0.5000, 0.5000]])
    """
    maps: list[Tensor] = []
    token = _MAPS.set(maps)
    try:
        yield maps
    finally:
        _MAPS.reset(token)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *,
    causal: bool = False,
    bias: Tensor | None = None,
    dropout: float = 0.0,
    scale: float | None = None,
) -> Tensor:
    """softmax(Q K^T / sqrt(D)) V over the keys that each query may look at (Vaswani et al. 2017), by fused kernels.

    With fewer heads in keys and values than in queries, groups of query heads share one (grouped-query attention,
    Ainslie et al. 2023; with a single one multi-query attention, Shazeer 2019). A query that may look at nothing gives
    zeros, and so do its gradients.

    Args:
        query, key, value: already projected and split into heads.
        mask: True where a query may look at a key; fits (N, H, Lq, Lk), see `lamplighter.nn.masks`.
        causal: also keep each query from looking at later keys. The last query stands at the last key (bottom-right),
            unlike with torch's ``is_causal``, by which one query would see only the first of many keys.
        bias: added to the scores, such as `lamplighter.nn.positions.alibi`; fits (N, H, Lq, Lk).
        dropout: probability with which a weight is set to 0.
        scale: factor of the scores; 1/sqrt(D) when None.

    Shapes:
        (N, H, Lq, D), (N, Hkv, Lk, D), (N, Hkv, Lk, Dv) -> (N, H, Lq, Dv); H is a multiple of Hkv

    >>> q, k, v = torch.zeros(1, 4, 1, 8), torch.randn(1, 2, 3, 8), torch.arange(3.0).expand(1, 2, 1, 3).mT
    >>> attend(q, k, v).flatten(), attend(q, k, v, torch.tensor([[True, True, False]])).flatten()
    (tensor([1., 1., 1., 1.]), tensor([0.5000, 0.5000, 0.5000, 0.5000]))
    """
    if not torch.compiler.is_compiling() and (maps := _MAPS.get()) is not None:
        output, weights = attend_with_weights(
            query, key, value, mask, causal=causal, bias=bias, dropout=dropout, scale=scale
        )
        maps.append(weights.detach())
        return output
    queries, keys = query.shape[-2], key.shape[-2]
    _check(query, key, mask)
    square = causal and mask is None and bias is None and bool(queries == keys)
    if causal and not square and queries != 1:
        mask = combine(mask, causal_mask(queries, keys, device=query.device))
    # CPU kernels give zeros where nothing may be attended; others, and the exported graph, may give NaN.
    blind = None
    if mask is not None and (bias is not None or torch.compiler.is_exporting() or query.device.type != "cpu"):
        mask, blind = _open(mask)
    added = mask if bias is None else _biased(bias.to(query.dtype), mask)
    grouped = query.shape[1] != key.shape[1]
    output = F.scaled_dot_product_attention(
        query, key, value, added, dropout, is_causal=square, scale=scale, enable_gqa=grouped
    )
    return output if blind is None else output.masked_fill(blind, 0)


def attend_with_weights(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *,
    causal: bool = False,
    bias: Tensor | None = None,
    dropout: float = 0.0,
    scale: float | None = None,
) -> tuple[Tensor, Tensor]:
    """As `attend`, step by step, with the matrix of weights, which no fused kernel keeps.

    The weights of a query sum to 1, or are all 0 where it may look at nothing. They are those before dropout.

    Args:
        query, key, value, mask, causal, bias, dropout, scale: as for `attend`.

    Shapes:
        (N, H, Lq, D), (N, Hkv, Lk, D), (N, Hkv, Lk, Dv) -> (N, H, Lq, Dv), (N, H, Lq, Lk)

    >>> x = torch.eye(2).view(1, 1, 2, 2)
    >>> attend_with_weights(x, x, x, causal=True, scale=math.log(3))[1].squeeze()
    tensor([[1.0000, 0.0000],
            [0.2500, 0.7500]])
    """
    queries, keys = query.shape[-2], key.shape[-2]
    _check(query, key, mask)
    if causal and queries != 1:
        mask = combine(mask, causal_mask(queries, keys, device=query.device))
    if query.shape[1] != key.shape[1]:
        share = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(share, 1), value.repeat_interleave(share, 1)
    scores = (query @ key.mT) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    blind = None
    if mask is not None:
        mask, blind = _open(mask)
    scores = scores if bias is None else scores + bias.to(scores.dtype)
    scores = scores if mask is None else scores.masked_fill(~mask, -math.inf)
    half = scores.dtype in (torch.float16, torch.bfloat16)
    weights = scores.softmax(-1, dtype=torch.float32 if half else None).to(value.dtype)
    if blind is not None:
        weights = weights.masked_fill(blind, 0)
    return F.dropout(weights, dropout) @ value, weights


def _open(mask: Tensor) -> tuple[Tensor, Tensor]:
    """The mask with blind queries allowed to see everything, and which those are: (..., Lq, 1)."""
    blind = ~mask.any(-1, keepdim=True)
    return mask | blind, blind


def _biased(bias: Tensor, mask: Tensor | None) -> Tensor:
    return bias if mask is None else bias.masked_fill(~mask, -math.inf)


def _check(query: Tensor, key: Tensor, mask: Tensor | None) -> None:
    if query.shape[1] % key.shape[1]:
        raise ValueError(f"{query.shape[1]} query heads cannot share {key.shape[1]} key heads evenly")
    if mask is not None and mask.dtype != torch.bool:
        raise ValueError(f"mask has type {mask.dtype}; masks are boolean, True where a query may look at a key")
    if mask is not None and mask.dim() not in (2, 4):
        raise ValueError(f"mask is {tuple(mask.shape)}; it must be (Lq, Lk) or fit (N, H, Lq, Lk): see padding_mask")
