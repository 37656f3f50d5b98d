"""GPT-2: a pre-norm Transformer decoder with learned positions and the token embeddings as output matrix."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from lamplighter.core.registry import FromData
from lamplighter.models.causal import CausalModel, check_causal_head
from lamplighter.models.text import Head, HiddenAct, activation_name, draw_normal
from lamplighter.models.weights.gpt2_names import HUGGING_FACE
from lamplighter.models.weights.layouts import Layout
from lamplighter.nn.activation import activation
from lamplighter.nn.attention import attend
from lamplighter.nn.kv_cache import KVCache, LayerCache
from lamplighter.nn.multi_head import check_heads, split
from lamplighter.nn.positions import LearnedPositions

Probability = Annotated[float, Field(ge=0, lt=1)]


class GPT2(CausalModel):
    """GPT-2 (Radford et al. 2019): x + attention(norm(x)), then x + mlp(norm(x)), in each of ``n_layer`` blocks.

    Names and shapes of tensors are those of Hugging Face's ``GPT2LMHeadModel`` and ``GPT2ForSequenceClassification``;
    weights of ``GPT2Model`` and of old files load too (`lamplighter.models.weights.gpt2_names`). The activation is the
    tanh form of GELU, and weights of the blocks are stored (in, out), transposed to ``nn.Linear``.

    Args:
        vocab_size: number of tokens.
        pad_token_id: id of padding, which fills up what generation gives for rows that ended; GPT-2 itself has none.
        num_classes: width of a classifier.
        head: ``lm`` predicts the next token, ``classifier`` reads the last real token, ``none`` gives the states.
        n_positions: longest sequence.
        n_embd: width of every position.
        n_layer: number of blocks.
        n_head: heads; must divide ``n_embd``.
        n_inner: width inside of the feed-forward networks; ``4 * n_embd`` when null.
        activation_function: inside of the feed-forward networks; ``gelu_new`` is the tanh form.
        resid_pdrop: dropout of both results of a block.
        embd_pdrop: dropout of the embeddings.
        attn_pdrop: dropout of attention weights.
        layer_norm_epsilon: of all norms.
        initializer_range: standard deviation of the initial weights; those before a sum get 1/sqrt(2 n_layer) of it.
        tie_word_embeddings: whether the ``lm`` head is the matrix of token embeddings.

    Shapes:
        (N, L) -> (N, L, vocab_size), (N, num_classes) or (N, L, n_embd), by head

    Raises:
        LamplighterError: head ``tagger``.

    >>> with torch.device("meta"):  # shapes only
    ...     model = GPT2(vocab_size=50257)
    >>> sum(p.numel() for p in model.parameters())
    124439808
    """

    name = "gpt2"
    length_argument = "n_positions"
    layouts: ClassVar[tuple[Layout, ...]] = (HUGGING_FACE,)
    """Other names under which checkpoints hold these tensors."""

    def __init__(
        self,
        vocab_size: Annotated[int, FromData],
        pad_token_id: Annotated[int | None, FromData] = None,
        num_classes: Annotated[int, FromData] = 2,
        head: Annotated[Head, FromData] = "lm",
        n_positions: Annotated[int, Field(gt=0)] = 1024,
        n_embd: Annotated[int, Field(gt=0)] = 768,
        n_layer: Annotated[int, Field(gt=0)] = 12,
        n_head: Annotated[int, Field(gt=0)] = 12,
        n_inner: Annotated[int, Field(gt=0)] | None = None,
        activation_function: HiddenAct = "gelu_new",
        resid_pdrop: Probability = 0.1,
        embd_pdrop: Probability = 0.1,
        attn_pdrop: Probability = 0.1,
        layer_norm_epsilon: Annotated[float, Field(gt=0)] = 1e-5,
        initializer_range: Annotated[float, Field(gt=0)] = 0.02,
        tie_word_embeddings: bool = True,
    ) -> None:
        super().__init__()
        check_causal_head("gpt2", head)
        check_heads(n_embd, n_head, n_head, "gpt2")
        self.vocab_size, self.pad_token_id, self.head_name = vocab_size, pad_token_id, head
        self.max_length, self.depth = n_positions, n_layer
        inner = 4 * n_embd if n_inner is None else n_inner
        blocks = [
            Block(n_embd, n_head, inner, activation_function, resid_pdrop, attn_pdrop, layer_norm_epsilon)
            for _ in range(n_layer)
        ]
        self.transformer = Body(vocab_size, n_positions, n_embd, embd_pdrop, blocks, layer_norm_epsilon)
        if head == "classifier":
            self.score = nn.Linear(n_embd, num_classes, bias=False)
        elif head == "lm":
            self.lm_head = nn.Linear(n_embd, vocab_size, bias=False)
        draw_normal(self, initializer_range)
        for name, parameter in self.named_parameters():
            if name.endswith(("c_attn.weight", "c_fc.weight")):
                nn.init.normal_(parameter, std=initializer_range)
            elif name.endswith("c_proj.weight"):
                nn.init.normal_(parameter, std=initializer_range / (2 * n_layer) ** 0.5)
        if head == "lm" and tie_word_embeddings:
            self.lm_head.weight = self.transformer.wte.weight

    @property
    def head(self) -> nn.Module:
        """What makes the output of hidden states; of a classifier, of `forward_features`."""
        if self.head_name == "none":
            return nn.Identity()
        return self.lm_head if self.head_name == "lm" else self.score

    def decode(
        self, input_ids: Tensor, where: Tensor | None, mask: Tensor | None, past: int, cache: KVCache | None
    ) -> Tensor:
        states: Tensor = self.transformer(input_ids, where, mask, past, cache)
        return states


class Body(nn.Module):
    """Embeddings, blocks and the last norm, under the names of Hugging Face's ``GPT2Model``."""

    def __init__(
        self, vocab_size: int, positions: int, width: int, dropout: float, blocks: list[Block], eps: float
    ) -> None:
        super().__init__()
        self.wte = nn.Embedding(vocab_size, width)
        self.wpe = LearnedPositions(positions, width, "n_positions")
        self.drop = nn.Dropout(dropout)
        self.h = nn.ModuleList(blocks)
        self.ln_f = nn.LayerNorm(width, eps=eps)

    def forward(
        self, input_ids: Tensor, where: Tensor | None, mask: Tensor | None, past: int, cache: KVCache | None
    ) -> Tensor:
        position = self.wpe.weight[past : past + input_ids.shape[1]] if where is None else self.wpe(where)
        h = self.drop(self.wte(input_ids) + position)
        for index, block in enumerate(self.h):
            h = block(h, mask, None if cache is None else cache[index])
        states: Tensor = self.ln_f(h)
        return states


class Block(nn.Module):
    """Attention and feed-forward network, each behind its norm and beside its residual sum."""

    def __init__(
        self, width: int, heads: int, inner: int, act: HiddenAct, dropout: float, attention_dropout: float, eps: float
    ) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, eps=eps)
        self.attn = Attention(width, heads, dropout, attention_dropout)
        self.ln_2 = nn.LayerNorm(width, eps=eps)
        self.mlp = FeedForward(width, inner, act, dropout)

    def forward(self, h: Tensor, mask: Tensor | None, cache: LayerCache | None) -> Tensor:
        h = h + self.attn(self.ln_1(h), mask, cache)
        out: Tensor = h + self.mlp(self.ln_2(h))
        return out


class Attention(nn.Module):
    """Causal self-attention; one matrix makes queries, keys and values."""

    def __init__(self, width: int, heads: int, dropout: float, attention_dropout: float) -> None:
        super().__init__()
        self.heads, self.attention_dropout = heads, attention_dropout
        self.c_attn = Conv1D(width, 3 * width)
        self.c_proj = Conv1D(width, width)
        self.resid_dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor, mask: Tensor | None, cache: LayerCache | None) -> Tensor:
        q, k, v = (split(part, self.heads) for part in self.c_attn(h).chunk(3, -1))
        if cache is not None:
            k, v = cache.update(k, v)
        dropout = self.attention_dropout if self.training else 0.0
        mixed = attend(q, k, v, mask, causal=mask is None, dropout=dropout)
        out: Tensor = self.resid_dropout(self.c_proj(mixed.transpose(1, 2).flatten(2)))
        return out


class FeedForward(nn.Module):
    """W2 act(W1 h)."""

    def __init__(self, width: int, inner: int, act: HiddenAct, dropout: float) -> None:
        super().__init__()
        self.c_fc = Conv1D(width, inner)
        self.c_proj = Conv1D(inner, width)
        self.act = activation(activation_name(act))
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor) -> Tensor:
        out: Tensor = self.dropout(self.c_proj(self.act(self.c_fc(h))))
        return out


class Conv1D(nn.Module):
    """x W + b with W stored (in, out): a linear layer as GPT-2's checkpoints hold it, transposed to ``nn.Linear``.

    Shapes:
        (..., in_features) -> (..., out_features)
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(in_features, out_features))
        self.bias = nn.Parameter(torch.zeros(out_features))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x.flatten(0, -2), self.weight).view(*x.shape[:-1], -1)
