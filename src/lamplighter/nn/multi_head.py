"""Multi-head attention under the names of ``torch.nn.MultiheadAttention``, with grouped heads and a cache."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lamplighter.nn.attention import attend, attend_with_weights
from lamplighter.nn.kv_cache import LayerCache


class MultiHeadAttention(nn.Module):
    """concat(attend(x W_q, m W_k, m W_v) of each head) W_o, of a sequence x over itself or over another sequence m.

    Each of H heads works on D/H of the width (Vaswani et al. 2017). Weights of ``torch.nn.MultiheadAttention`` load
    strictly: ``in_proj_weight`` and ``in_proj_bias`` hold queries, keys and values one below the other, ``out_proj``
    joins the heads. With fewer heads for keys and values (grouped-query and multi-query attention), with a memory of
    another width, or by choice, the projections stand apart as ``q_proj``, ``k_proj`` and ``v_proj``.

    Batches come first. Masks are boolean, True where a query may look, the opposite of torch's module.

    Args:
        embed_dim: width D of queries and output.
        num_heads: H; must divide ``embed_dim``.
        dropout: probability with which an attention weight is set to 0 in training.
        bias: whether projections have one.
        num_kv_heads: heads of keys and values; must divide ``num_heads``. As many as queries when None.
        kdim: width of the memory; ``embed_dim`` when None.
        fused: one matrix for the three projections. True when None and the shapes allow it.

    Shapes:
        (N, Lq, D), (N, Lk, kdim), mask fits (N, H, Lq, Lk) -> (N, Lq, D)

    Raises:
        ValueError: heads that do not divide, naming both numbers.

    >>> attention = MultiHeadAttention(8, 2)
    >>> sorted(attention.state_dict())
    ['in_proj_bias', 'in_proj_weight', 'out_proj.bias', 'out_proj.weight']
    >>> output, weights = attention(torch.randn(3, 5, 8), causal=True, need_weights=True)
    >>> output.shape, weights.shape
    (torch.Size([3, 5, 8]), torch.Size([3, 2, 5, 5]))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        num_kv_heads: int | None = None,
        kdim: int | None = None,
        fused: bool | None = None,
    ) -> None:
        super().__init__()
        kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        check_heads(embed_dim, num_heads, kv_heads, "MultiHeadAttention")
        self.embed_dim, self.num_heads, self.num_kv_heads, self.dropout = embed_dim, num_heads, kv_heads, dropout
        self.head_dim = embed_dim // num_heads
        joinable = kv_heads == num_heads and kdim in (None, embed_dim)
        self.fused = joinable if fused is None else fused
        if self.fused and not joinable:
            raise ValueError(
                "MultiHeadAttention: one matrix needs as many heads for keys, and a memory as wide, as queries"
            )
        if self.fused:
            self.in_proj_weight = nn.Parameter(torch.empty(3 * embed_dim, embed_dim))
            if bias:
                self.in_proj_bias = nn.Parameter(torch.empty(3 * embed_dim))
            else:
                self.register_parameter("in_proj_bias", None)
        else:
            self.q_proj = nn.Linear(embed_dim, embed_dim, bias=bias)
            self.k_proj = nn.Linear(kdim or embed_dim, kv_heads * self.head_dim, bias=bias)
            self.v_proj = nn.Linear(kdim or embed_dim, kv_heads * self.head_dim, bias=bias)
        self.out_proj = nn.Linear(embed_dim, embed_dim, bias=bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """As torch's module: Xavier uniform projections, biases 0; ``out_proj`` keeps the weights of a linear layer."""
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif not name.startswith("out_proj"):
                nn.init.xavier_uniform_(parameter)

    def forward(
        self,
        query: Tensor,
        memory: Tensor | None = None,
        mask: Tensor | None = None,
        *,
        causal: bool = False,
        bias: Tensor | None = None,
        cache: LayerCache | None = None,
        need_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend.

        Args:
            query: (N, Lq, D).
            memory: (N, Lk, kdim), what keys and values are made of: None for self-attention.
            mask: True where a query may look at a key; with a cache its keys are those of the past and the new ones.
            causal: keep queries from looking at later keys.
            bias: added to the scores (N, H, Lq, Lk), such as `lamplighter.nn.positions.alibi`.
            cache: holds keys and values of earlier calls, and takes the new ones.
            need_weights: also give the weights, which costs the fused kernel.

        Returns:
            Output (N, Lq, D), and weights (N, H, Lq, Lk) or None.
        """
        if query.shape[-1] != self.embed_dim:
            raise ValueError(f"MultiHeadAttention: query has width {query.shape[-1]}, embed_dim is {self.embed_dim}")
        q, k, v = self._projected(query, memory)
        if cache is not None:
            k, v = cache.update(k, v)
        dropout = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            heads, weights = attend_with_weights(q, k, v, mask, causal=causal, bias=bias, dropout=dropout)
        else:
            heads = attend(q, k, v, mask, causal=causal, bias=bias, dropout=dropout)
        return self.out_proj(heads.transpose(1, 2).flatten(2)), weights

    def _projected(self, query: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values by head: (N, H, L, D / H)."""
        if not self.fused:
            source = query if memory is None else memory
            q, k, v = self.q_proj(query), self.k_proj(source), self.v_proj(source)
        elif memory is None:
            q, k, v = F.linear(query, self.in_proj_weight, self.in_proj_bias).chunk(3, -1)
        else:
            width = self.embed_dim
            bias = self.in_proj_bias
            q = F.linear(query, self.in_proj_weight[:width], None if bias is None else bias[:width])
            both = F.linear(memory, self.in_proj_weight[width:], None if bias is None else bias[width:])
            k, v = both.chunk(2, -1)
        return split(q, self.num_heads), split(k, self.num_kv_heads), split(v, self.num_kv_heads)


def split(x: Tensor, heads: int) -> Tensor:
    """(N, L, H * D) -> (N, H, L, D)."""
    # A view of known sizes: unflatten() computes them in Python, in every layer of every step of generation.
    return x.view(x.shape[0], x.shape[1], heads, x.shape[2] // heads).transpose(1, 2)


def check_heads(width: int, heads: int, kv_heads: int, owner: str) -> None:
    """Raise a ValueError that names the numbers unless heads divide the width, and key heads the heads."""
    if heads < 1 or width % heads:
        raise ValueError(f"{owner}: width {width} is not divisible by {heads} heads")
    if kv_heads < 1 or heads % kv_heads:
        raise ValueError(f"{owner}: {heads} heads are not divisible by {kv_heads} heads for keys and values")
