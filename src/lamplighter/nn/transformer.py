"""Layers of the Transformer, encoder and decoder, under the names of torch's; norms before or after the sum."""

from __future__ import annotations

from torch import Tensor, nn

from lamplighter.nn.activation import ActivationName, activation
from lamplighter.nn.kv_cache import KVCache, LayerCache
from lamplighter.nn.multi_head import MultiHeadAttention


class FeedForward(nn.Module):
    """W2 dropout(act(W1 x)): the two linear layers that every position passes by itself.

    A base of the two layers below, so that ``linear1`` and ``linear2`` keep torch's names.
    """

    def __init__(self, d_model: int, dim_feedforward: int, dropout: float, act: ActivationName) -> None:
        super().__init__()
        self.linear1 = nn.Linear(d_model, dim_feedforward)
        self.dropout = nn.Dropout(dropout)
        self.linear2 = nn.Linear(dim_feedforward, d_model)
        self.activation = activation(act)

    def feed_forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.linear2(self.dropout(self.activation(self.linear1(x))))
        return h


class TransformerEncoderLayer(FeedForward):
    """Self-attention, then a feed-forward network, each with a residual sum and a layer norm (Vaswani et al. 2017).

    ``norm_first=False`` computes norm(x + f(x)), as in the paper; ``True`` computes x + f(norm(x)), which trains deep
    stacks without a warm-up (Xiong et al. 2020). State dicts of ``torch.nn.TransformerEncoderLayer`` load strictly.

    Args:
        d_model: width of every position.
        nhead: heads; must divide ``d_model``.
        dim_feedforward: width inside of the feed-forward network.
        dropout: on attention weights, inside of the feed-forward network, and on both results before the sums.
        activation: inside of the feed-forward network.
        layer_norm_eps: of the norms.
        norm_first: pre-norm.

    Shapes:
        (N, L, d_model), mask fits (N, nhead, L, L) -> (N, L, d_model)

    >>> import torch
    >>> layer = TransformerEncoderLayer(8, 2, 16)
    >>> layer(torch.zeros(3, 5, 8)).shape
    torch.Size([3, 5, 8])
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: ActivationName = "relu",
        layer_norm_eps: float = 1e-5,
        norm_first: bool = False,
    ) -> None:
        super().__init__(d_model, dim_feedforward, dropout, activation)
        self.self_attn = MultiHeadAttention(d_model, nhead, dropout)
        self.norm1 = nn.LayerNorm(d_model, layer_norm_eps)
        self.norm2 = nn.LayerNorm(d_model, layer_norm_eps)
        self.dropout1 = nn.Dropout(dropout)
        self.dropout2 = nn.Dropout(dropout)
        self.norm_first = norm_first

    def forward(
        self, x: Tensor, mask: Tensor | None = None, *, causal: bool = False, bias: Tensor | None = None
    ) -> Tensor:
        """Mask, causal and bias: see `lamplighter.nn.attention.attend`."""
        if self.norm_first:
            x = x + self.dropout1(self.self_attn(self.norm1(x), mask=mask, causal=causal, bias=bias)[0])
            return x + self.dropout2(self.feed_forward(self.norm2(x)))
        x = self.norm1(x + self.dropout1(self.self_attn(x, mask=mask, causal=causal, bias=bias)[0]))
        h: Tensor = self.norm2(x + self.dropout2(self.feed_forward(x)))
        return h


class TransformerDecoderLayer(FeedForward):
    """Causal self-attention, attention over the encoder's output, feed-forward network; sums and norms as there.

    State dicts of ``torch.nn.TransformerDecoderLayer`` load strictly.

    Args:
        d_model: width of every position.
        nhead: heads; must divide ``d_model``.
        dim_feedforward: width inside of the feed-forward network.
        dropout: as in `TransformerEncoderLayer`.
        activation: inside of the feed-forward network.
        layer_norm_eps: of the norms.
        norm_first: pre-norm.

    Shapes:
        (N, Lt, d_model), memory (N, Ls, d_model) -> (N, Lt, d_model)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: ActivationName = "relu",
        layer_norm_eps: float = 1e-5,
        norm_first: bool = False,
    ) -> None:
        super().__init__(d_model, dim_feedforward, dropout, activation)
        self.self_attn = MultiHeadAttention(d_model, nhead, dropout)
        self.multihead_attn = MultiHeadAttention(d_model, nhead, dropout)
        self.norm1 = nn.LayerNorm(d_model, layer_norm_eps)
        self.norm2 = nn.LayerNorm(d_model, layer_norm_eps)
        self.norm3 = nn.LayerNorm(d_model, layer_norm_eps)
        self.dropout1 = nn.Dropout(dropout)
        self.dropout2 = nn.Dropout(dropout)
        self.dropout3 = nn.Dropout(dropout)
        self.norm_first = norm_first

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        *,
        causal: bool = True,
        bias: Tensor | None = None,
        cache: LayerCache | None = None,
    ) -> Tensor:
        """Decode.

        Args:
            x: (N, Lt, d_model); with a cache only the new positions.
            memory: (N, Ls, d_model), what the encoder gave.
            mask: which positions of the target a position may look at; fits (N, nhead, Lt, all positions so far).
            memory_mask: which of the memory; `padding_mask` of the source's attention mask.
            causal: keep positions from looking at later ones.
            bias: added to the scores of the self-attention.
            cache: keys and values of earlier positions.
        """
        if self.norm_first:
            own = self.self_attn(self.norm1(x), mask=mask, causal=causal, bias=bias, cache=cache)[0]
            x = x + self.dropout1(own)
            x = x + self.dropout2(self.multihead_attn(self.norm2(x), memory, memory_mask)[0])
            return x + self.dropout3(self.feed_forward(self.norm3(x)))
        own = self.self_attn(x, mask=mask, causal=causal, bias=bias, cache=cache)[0]
        x = self.norm1(x + self.dropout1(own))
        x = self.norm2(x + self.dropout2(self.multihead_attn(x, memory, memory_mask)[0]))
        h: Tensor = self.norm3(x + self.dropout3(self.feed_forward(x)))
        return h


class TransformerEncoder(nn.Module):
    """A stack of encoder layers, and a last norm; named as in ``torch.nn.TransformerEncoder``.

    Args:
        layers: of one width.
        norm: after the last layer; ``nn.LayerNorm`` in ``torch.nn.Transformer``, None for nothing.
    """

    def __init__(self, layers: list[TransformerEncoderLayer], norm: nn.Module | None = None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norm = norm

    def forward(
        self, x: Tensor, mask: Tensor | None = None, *, causal: bool = False, bias: Tensor | None = None
    ) -> Tensor:
        for layer in self.layers:
            x = layer(x, mask, causal=causal, bias=bias)
        return x if self.norm is None else self.norm(x)


class TransformerDecoder(nn.Module):
    """A stack of decoder layers, and a last norm; named as in ``torch.nn.TransformerDecoder``.

    Args:
        layers: of one width.
        norm: after the last layer; None for nothing.
    """

    def __init__(self, layers: list[TransformerDecoderLayer], norm: nn.Module | None = None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norm = norm

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        *,
        causal: bool = True,
        bias: Tensor | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """As `TransformerDecoderLayer.forward`, with one cache for all layers."""
        for index, layer in enumerate(self.layers):
            own = None if cache is None else cache[index]
            x = layer(x, memory, mask, memory_mask, causal=causal, bias=bias, cache=own)
        return x if self.norm is None else self.norm(x)
