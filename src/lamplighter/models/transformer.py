"""The Transformer of the paper: encoder, decoder, and one embedding for both."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from lamplighter.core.errors import LamplighterError
from lamplighter.core.registry import FromData
from lamplighter.nn.activation import ActivationName
from lamplighter.nn.embedding import Embedding, tie
from lamplighter.nn.kv_cache import KVCache
from lamplighter.nn.masks import padding_mask
from lamplighter.nn.positions import LearnedPositions, SinusoidalPositions, alibi
from lamplighter.nn.tokens import check_tokens
from lamplighter.nn.transformer import (
    TransformerDecoder,
    TransformerDecoderLayer,
    TransformerEncoder,
    TransformerEncoderLayer,
)


class Transformer(nn.Module):
    """p(y_t | y_<t, x) = softmax(W decoder(y_<t, encoder(x))) (Vaswani et al. 2017, "Attention Is All You Need").

    Source and target share one vocabulary and one embedding, scaled by sqrt(d_model) before positions are added.
    Parameters of ``encoder`` and ``decoder`` have the names of ``torch.nn.Transformer`` and start as there (Xavier);
    the embedding starts from N(0, 1 / d_model).

    Args:
        vocab_size: tokens of the vocabulary.
        pad_token_id: fills short sequences; its embedding stays 0.
        bos_token_id: begins what is written.
        eos_token_id: ends it.
        d_model: width of every position.
        nhead: attention heads; must divide ``d_model``.
        num_encoder_layers: depth of the encoder.
        num_decoder_layers: depth of the decoder.
        dim_feedforward: width inside of the feed-forward networks.
        dropout: of embeddings, attention weights, and what is added in each layer.
        activation: inside of the feed-forward networks.
        norm_first: normalise before each sub-layer (trains without a warm-up) instead of after the sum (the paper).
        positions: ``sinusoidal`` as in the paper, ``learned``, or ``alibi``: no positions, scores that fall with the
            distance (Press et al. 2022).
        max_length: positions that the model has; without effect on ``alibi``, which takes any length.
        tie_weights: the output layer is the embedding's matrix.

    Shapes:
        input_ids (N, S), attention_mask (N, S) or None, decoder_input_ids (N, T) -> logits (N, T, vocab_size)

    Raises:
        LamplighterError: heads that do not divide the width.

    >>> model = Transformer(vocab_size=9, pad_token_id=0, bos_token_id=1, eos_token_id=2, d_model=16, nhead=2)
    >>> model(torch.tensor([[3, 4, 5]]), None, torch.tensor([[1, 5]])).shape
    torch.Size([1, 2, 9])
    """

    def __init__(
        self,
        vocab_size: Annotated[int, FromData],
        pad_token_id: Annotated[int, FromData],
        bos_token_id: Annotated[int, FromData],
        eos_token_id: Annotated[int, FromData],
        d_model: Annotated[int, Field(gt=0)] = 128,
        nhead: Annotated[int, Field(gt=0)] = 4,
        num_encoder_layers: Annotated[int, Field(gt=0)] = 2,
        num_decoder_layers: Annotated[int, Field(gt=0)] = 2,
        dim_feedforward: Annotated[int, Field(gt=0)] = 512,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        activation: ActivationName = "relu",
        norm_first: bool = False,
        positions: Literal["sinusoidal", "learned", "alibi"] = "sinusoidal",
        max_length: Annotated[int, Field(gt=0)] = 1024,
        tie_weights: bool = True,
    ) -> None:
        super().__init__()
        if d_model % nhead:
            raise LamplighterError(f"transformer: d_model is {d_model}, which nhead ({nhead}) does not divide")
        self.vocab_size, self.pad_token_id = vocab_size, pad_token_id
        self.bos_token_id, self.eos_token_id = bos_token_id, eos_token_id
        self.d_model, self.max_length = d_model, max_length
        self.embedding = Embedding(vocab_size, d_model, padding_idx=pad_token_id)
        self.nhead, self.linear_bias = nhead, positions == "alibi"
        if not self.linear_bias:
            self.positions = (SinusoidalPositions if positions == "sinusoidal" else AddedPositions)(d_model, max_length)
        self.dropout = nn.Dropout(dropout)
        options: dict[str, Any] = {"dropout": dropout, "activation": activation, "norm_first": norm_first}
        encoder = [
            TransformerEncoderLayer(d_model, nhead, dim_feedforward, **options) for _ in range(num_encoder_layers)
        ]
        decoder = [
            TransformerDecoderLayer(d_model, nhead, dim_feedforward, **options) for _ in range(num_decoder_layers)
        ]
        self.encoder = TransformerEncoder(encoder, nn.LayerNorm(d_model))
        self.decoder = TransformerDecoder(decoder, nn.LayerNorm(d_model))
        self.head = nn.Linear(d_model, vocab_size, bias=False)
        self._initialise()
        if tie_weights:
            tie(self.head, self.embedding)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None, decoder_input_ids: Tensor) -> Tensor:
        return self.decode(decoder_input_ids, self.encode(input_ids, attention_mask), attention_mask)

    def encode(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """The encoder's output, (N, S, d_model); what stands at padding means nothing."""
        mask = check_tokens(input_ids, attention_mask, self.vocab_size, "transformer")
        seen = None if mask is None else padding_mask(mask)
        memory: Tensor = self.encoder(self._embed(input_ids), seen, bias=self._bias(input_ids.shape[1], input_ids))
        return memory

    def decode(self, decoder_input_ids: Tensor, memory: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Logits of the token behind each of ``decoder_input_ids``.

        Args:
            decoder_input_ids: (N, T), begins with ``bos_token_id``; padding behind is allowed and has no effect on
                what stands before it.
            memory: of `encode`.
            attention_mask: (N, S), of the source.
        """
        check_tokens(decoder_input_ids, None, self.vocab_size, "transformer decoder")
        memory_mask = None if attention_mask is None else padding_mask(attention_mask.bool())
        bias = self._bias(decoder_input_ids.shape[1], decoder_input_ids)
        hidden = self.decoder(self._embed(decoder_input_ids), memory, memory_mask=memory_mask, bias=bias)
        logits: Tensor = self.head(hidden)
        return logits

    def start(self, memory: Tensor, attention_mask: Tensor | None = None) -> dict[str, Any]:
        """What `step` needs, see `lamplighter.models.generation.seq2seq.StepDecoder`."""
        carried: dict[str, Any] = {"memory": memory, "cache": KVCache(len(self.decoder.layers))}
        return carried if attention_mask is None else carried | {"mask": attention_mask.bool()}

    def step(self, token_ids: Tensor, carried: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        """Logits (N, vocab_size) of the token behind ``token_ids`` (N,), and what the next step needs."""
        cache: KVCache = carried["cache"]
        mask = carried.get("mask")
        x = self._embed(token_ids.unsqueeze(1), cache.length)
        memory_mask = None if mask is None else padding_mask(mask)
        bias = self._bias(1, token_ids, cache.length + 1)
        hidden = self.decoder(x, carried["memory"], memory_mask=memory_mask, bias=bias, cache=cache)
        logits: Tensor = self.head(hidden.squeeze(1))
        return logits, carried

    def _embed(self, ids: Tensor, offset: int = 0) -> Tensor:
        x = self.embedding(ids) * math.sqrt(self.d_model)
        embedded: Tensor = self.dropout(x if self.linear_bias else self.positions(x, offset))
        return embedded

    def _bias(self, queries: int, ids: Tensor, keys: int | None = None) -> Tensor | None:
        return alibi(self.nhead, queries, keys, device=ids.device) if self.linear_bias else None

    def _initialise(self) -> None:
        for part in (self.encoder, self.decoder):
            for parameter in part.parameters():
                if parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter)
        nn.init.normal_(self.embedding.weight, std=self.d_model**-0.5)
        nn.init.zeros_(self.embedding.weight[self.pad_token_id].detach())


class AddedPositions(nn.Module):
    """x + a trained vector for each position.

    Args:
        width: of the embeddings.
        max_length: positions that have a vector.

    Shapes:
        (N, L, width) -> (N, L, width)

    Raises:
        InputError: positions beyond the table.
    """

    def __init__(self, width: int, max_length: int) -> None:
        super().__init__()
        self.table = LearnedPositions(max_length, width)
        nn.init.normal_(self.table.weight, std=width**-0.5)

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        """Add the vectors of the positions ``offset`` to ``offset + L - 1``."""
        self.table.check(offset + x.shape[1], "transformer")
        return x + self.table(torch.arange(x.shape[1], device=x.device) + offset)
