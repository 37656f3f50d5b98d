"""A Llama-style decoder: rotary positions, grouped-query attention, RMS norms, gated feed-forward networks."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from lamplighter.core.registry import FromData
from lamplighter.models.causal import CausalModel, check_causal_head
from lamplighter.models.text import Head, HiddenAct, activation_name, draw_normal
from lamplighter.models.weights.layouts import Layout
from lamplighter.models.weights.llama_names import HUGGING_FACE
from lamplighter.nn.attention import attend
from lamplighter.nn.glu import GatedFeedForward
from lamplighter.nn.kv_cache import KVCache, LayerCache
from lamplighter.nn.multi_head import check_heads, split
from lamplighter.nn.positions import RotaryPositions, rotate


class Llama(CausalModel):
    """Llama (Touvron et al. 2023): x + attention(rms(x)), then x + swiglu(rms(x)), no biases.

    Names of tensors are those of Hugging Face's ``LlamaForCausalLM`` and ``LlamaForSequenceClassification``, and of
    ``MistralForCausalLM``, which is the same with ``sliding_window``; weights of ``LlamaModel`` load too
    (`lamplighter.models.weights.llama_names`). Angles of the rotary positions are computed in float64, where
    transformers uses float32.

    Args:
        vocab_size: number of tokens.
        pad_token_id: id of padding, whose embedding is not trained; null for none.
        num_classes: width of a classifier.
        head: ``lm`` predicts the next token, ``classifier`` reads the last real token, ``none`` gives the states.
        hidden_size: width of every position.
        intermediate_size: width inside of the feed-forward networks.
        num_hidden_layers: number of blocks.
        num_attention_heads: heads of queries.
        num_key_value_heads: heads of keys and values; must divide those of queries, which they equal when null.
        head_dim: width of a head; ``hidden_size / num_attention_heads`` when null.
        hidden_act: activation of the gates; ``silu`` makes SwiGLU.
        max_position_embeddings: longest sequence.
        initializer_range: standard deviation of the initial weights.
        rms_norm_eps: of all norms.
        rope_theta: base of the rotary positions' wavelengths.
        tie_word_embeddings: whether the ``lm`` head is the matrix of token embeddings.
        attention_bias: whether the attention's projections have a bias.
        mlp_bias: whether the feed-forward networks have one.
        attention_dropout: dropout of attention weights.
        sliding_window: how many tokens one sees at most, itself among them (Mistral, Jiang et al. 2023); null for all.

    Shapes:
        (N, L) -> (N, L, vocab_size), (N, num_classes) or (N, L, hidden_size), by head

    Raises:
        LamplighterError: head ``tagger``.

    >>> model = Llama(vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    ...     num_key_value_heads=2)
    >>> model(torch.tensor([[1, 2, 3]])).shape
    torch.Size([1, 3, 50])
    """

    name = "llama"
    length_argument = "max_position_embeddings"
    layouts: ClassVar[tuple[Layout, ...]] = (HUGGING_FACE,)
    """Other names under which checkpoints hold these tensors."""

    def __init__(
        self,
        vocab_size: Annotated[int, FromData],
        pad_token_id: Annotated[int | None, FromData] = None,
        num_classes: Annotated[int, FromData] = 2,
        head: Annotated[Head, FromData] = "lm",
        hidden_size: Annotated[int, Field(gt=0)] = 4096,
        intermediate_size: Annotated[int, Field(gt=0)] = 11008,
        num_hidden_layers: Annotated[int, Field(gt=0)] = 32,
        num_attention_heads: Annotated[int, Field(gt=0)] = 32,
        num_key_value_heads: Annotated[int, Field(gt=0)] | None = None,
        head_dim: Annotated[int, Field(gt=0)] | None = None,
        hidden_act: HiddenAct = "silu",
        max_position_embeddings: Annotated[int, Field(gt=0)] = 2048,
        initializer_range: Annotated[float, Field(gt=0)] = 0.02,
        rms_norm_eps: Annotated[float, Field(gt=0)] = 1e-6,
        rope_theta: Annotated[float, Field(gt=0)] = 10_000.0,
        tie_word_embeddings: bool = False,
        attention_bias: bool = False,
        mlp_bias: bool = False,
        attention_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        sliding_window: Annotated[int, Field(gt=0)] | None = None,
    ) -> None:
        super().__init__()
        check_causal_head("llama", head)
        heads, kv_heads = num_attention_heads, num_key_value_heads or num_attention_heads
        check_heads(heads * head_dim if head_dim else hidden_size, heads, kv_heads, "llama")
        self.vocab_size, self.pad_token_id, self.head_name = vocab_size, pad_token_id, head
        self.max_length, self.depth, self.window = max_position_embeddings, num_hidden_layers, sliding_window
        width = head_dim or hidden_size // heads
        blocks = [
            Block(
                Attention(hidden_size, heads, kv_heads, width, attention_bias, attention_dropout),
                GatedFeedForward(hidden_size, intermediate_size, activation_name(hidden_act), mlp_bias),
                hidden_size,
                rms_norm_eps,
            )
            for _ in range(num_hidden_layers)
        ]
        self.model = Body(vocab_size, pad_token_id, hidden_size, blocks, rms_norm_eps)
        self.rotary = RotaryPositions(width, rope_theta)
        if head == "classifier":
            self.score = nn.Linear(hidden_size, num_classes, bias=False)
        elif head == "lm":
            self.lm_head = nn.Linear(hidden_size, vocab_size, bias=False)
        draw_normal(self, initializer_range)
        if head == "lm" and tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    @property
    def head(self) -> nn.Module:
        """What makes the output of hidden states; of a classifier, of `forward_features`."""
        if self.head_name == "none":
            return nn.Identity()
        return self.lm_head if self.head_name == "lm" else self.score

    def decode(
        self, input_ids: Tensor, where: Tensor | None, mask: Tensor | None, past: int, cache: KVCache | None
    ) -> Tensor:
        if where is None:
            where = torch.arange(past, past + input_ids.shape[1], device=input_ids.device)[None]
        cos, sin = self.rotary(where, self.model.embed_tokens.weight.dtype)
        states: Tensor = self.model(input_ids, cos, sin, mask, cache)
        return states


class Body(nn.Module):
    """Embeddings, blocks and the last norm, under the names of Hugging Face's ``LlamaModel``."""

    def __init__(self, vocab_size: int, pad: int | None, width: int, blocks: list[Block], eps: float) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(vocab_size, width, padding_idx=pad)
        self.layers = nn.ModuleList(blocks)
        self.norm = nn.RMSNorm(width, eps=eps)

    def forward(
        self, input_ids: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None, cache: KVCache | None
    ) -> Tensor:
        h = self.embed_tokens(input_ids)
        for index, block in enumerate(self.layers):
            h = block(h, cos, sin, mask, None if cache is None else cache[index])
        states: Tensor = self.norm(h)
        return states


class Block(nn.Module):
    """Attention and feed-forward network, each behind its norm and beside its residual sum."""

    def __init__(self, attention: Attention, feed_forward: GatedFeedForward, width: int, eps: float) -> None:
        super().__init__()
        self.self_attn = attention
        self.mlp = feed_forward
        self.input_layernorm = nn.RMSNorm(width, eps=eps)
        self.post_attention_layernorm = nn.RMSNorm(width, eps=eps)

    def forward(self, h: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None, cache: LayerCache | None) -> Tensor:
        h = h + self.self_attn(self.input_layernorm(h), cos, sin, mask, cache)
        out: Tensor = h + self.mlp(self.post_attention_layernorm(h))
        return out


class Attention(nn.Module):
    """Causal self-attention with rotary positions, and as many heads for keys and values as the model has."""

    def __init__(self, hidden: int, heads: int, kv_heads: int, width: int, bias: bool, dropout: float) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.dropout = heads, kv_heads, dropout
        self.q_proj = nn.Linear(hidden, heads * width, bias=bias)
        self.k_proj = nn.Linear(hidden, kv_heads * width, bias=bias)
        self.v_proj = nn.Linear(hidden, kv_heads * width, bias=bias)
        self.o_proj = nn.Linear(heads * width, hidden, bias=bias)

    def forward(self, h: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None, cache: LayerCache | None) -> Tensor:
        q = rotate(split(self.q_proj(h), self.heads), cos, sin)
        k = rotate(split(self.k_proj(h), self.kv_heads), cos, sin)
        v = split(self.v_proj(h), self.kv_heads)
        if cache is not None:
            k, v = cache.update(k, v)
        mixed = attend(q, k, v, mask, causal=mask is None, dropout=self.dropout if self.training else 0.0)
        out: Tensor = self.o_proj(mixed.transpose(1, 2).flatten(2))
        return out
