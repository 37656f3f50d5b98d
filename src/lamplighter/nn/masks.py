"""Attention masks: one convention for the whole project, and the functions that make and join them.

A mask is boolean, and **True means: may be attended**, or: is a real token. That is what the boolean ``attn_mask`` of
``torch.nn.functional.scaled_dot_product_attention`` and the ``attention_mask`` of tokenizers mean, and the opposite of
the ``key_padding_mask`` of ``torch.nn.MultiheadAttention``.

==================  =====================  ==========================================================
name                shape                  meaning
==================  =====================  ==========================================================
``attention_mask``  (N, L)                 position holds a real token, not padding
``mask``            fits (N, H, Lq, Lk)    query i may look at key j
==================  =====================  ==========================================================

Causal masks are aligned at the bottom right: the last query stands at the last key, so a step of cached generation sees
everything before it. A query that may look at nothing gives zeros (`lamplighter.nn.attention.attend`). No large
negative number is added to scores, so none has to be "large enough", in any precision.
"""

from __future__ import annotations

from functools import reduce
from operator import and_

import torch
from torch import Tensor


def causal_mask(
    queries: int, keys: int | None = None, *, window: int | None = None, device: torch.device | None = None
) -> Tensor:
    """Each query sees its own position and those before it; with a window only the last few of them.

    Args:
        queries: number of queries; they stand at the last positions.
        keys: number of keys; as many as queries when None.
        window: how many positions a query sees at most, its own among them (sliding-window attention, Beltagy et al.
            2020, "Longformer").
        device: where to make it.

    Shapes:
        -> (queries, keys)

    Raises:
        ValueError: a window below 1, or more queries than keys.

    >>> causal_mask(2, 4).int()
    tensor([[1, 1, 1, 0],
            [1, 1, 1, 1]], dtype=torch.int32)
    >>> causal_mask(3, window=2).int()
    tensor([[1, 0, 0],
            [1, 1, 0],
            [0, 1, 1]], dtype=torch.int32)
    """
    keys = queries if keys is None else keys
    if window is not None and window < 1:
        raise ValueError(f"window is {window}: a query sees at least its own position")
    if not torch.compiler.is_compiling() and queries > keys:
        raise ValueError(f"{queries} queries but only {keys} keys: the first queries would stand before the first key")
    own = torch.arange(queries, device=device)[:, None] + (keys - queries)
    other = torch.arange(keys, device=device)
    mask = other <= own
    return mask if window is None else mask & (other > own - window)


def padding_mask(attention_mask: Tensor) -> Tensor:
    """Real tokens as keys that every query of every head may look at.

    Shapes:
        (N, L) -> (N, 1, 1, L)

    >>> padding_mask(torch.tensor([[True, True, False]])).shape
    torch.Size([1, 1, 1, 3])
    """
    return attention_mask[:, None, None, :]


def combine(*masks: Tensor | None) -> Tensor | None:
    """What all masks allow; None stands for "everything is allowed".

    >>> combine(causal_mask(3), None, padding_mask(torch.tensor([[False, True, True]]))).int()
    tensor([[[[0, 0, 0],
              [0, 1, 0],
              [0, 1, 1]]]], dtype=torch.int32)
    >>> combine(None, None) is None
    True
    """
    present = [mask for mask in masks if mask is not None]
    return reduce(and_, present) if present else None


def from_lengths(lengths: Tensor, size: int) -> Tensor:
    """The ``attention_mask`` of sequences that begin with their real tokens.

    Shapes:
        (N,) -> (N, size)

    >>> from_lengths(torch.tensor([1, 3]), 3).int()
    tensor([[1, 0, 0],
            [1, 1, 1]], dtype=torch.int32)
    """
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def positions(attention_mask: Tensor) -> Tensor:
    """Position of each token among the real ones of its row, from 0, wherever the padding is; 0 at padding in front.

    Shapes:
        (N, L) -> (N, L), int64

    >>> positions(torch.tensor([[False, False, True, True], [True, True, True, False]]))
    tensor([[0, 0, 0, 1],
            [0, 1, 2, 2]])
    """
    return (attention_mask.long().cumsum(-1) - 1).clamp(min=0)


def last_token(attention_mask: Tensor) -> Tensor:
    """Index of the last real token of each row, wherever the padding is.

    Shapes:
        (N, L) -> (N,), int64

    >>> last_token(torch.tensor([[False, True, True], [True, False, False]]))
    tensor([2, 0])
    """
    length = attention_mask.shape[-1]
    return (attention_mask * torch.arange(length, device=attention_mask.device)).amax(-1)
