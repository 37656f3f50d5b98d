"""Sequence to sequence by recurrent networks: an encoder, a decoder, and attention between them."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from lamplighter.core.errors import LamplighterError
from lamplighter.core.registry import FromData
from lamplighter.nn.attention_scores import ScoreAttention, score_attention
from lamplighter.nn.embedding import Embedding
from lamplighter.nn.recurrent.cells import State
from lamplighter.nn.recurrent.kernels import Recurrent, RecurrentDecoder
from lamplighter.nn.tokens import check_tokens

Attention = Literal["additive", "dot", "general", "none"]


class Seq2Seq(nn.Module):
    """p(y_t | y_<t, x) = softmax(W tanh(W_c [context_t; h_t])), with h a decoder that starts where the encoder ended.

    The encoder reads the source in both directions (Bahdanau et al. 2015). The decoder runs over the whole target at
    once, shifted by one, and looks at the encoder's states afterwards (Luong et al. 2015, without input feeding), so no
    step waits for an earlier one's attention. Without attention all that the decoder knows of the source is its
    starting state, and long sources are forgotten (Sutskever et al. 2014; Cho et al. 2014).

    Source and target share one vocabulary and one embedding.

    Args:
        vocab_size: tokens of the vocabulary.
        pad_token_id: fills short sequences; its embedding stays 0.
        bos_token_id: begins what is written.
        eos_token_id: ends it.
        embedding_dim: width of an embedding.
        hidden_size: width of the decoder, and of the encoder's both directions together.
        num_layers: of encoder and of decoder.
        bidirectional: whether the encoder also reads from the end.
        cell: ``lstm``, ``gru`` or ``rnn``.
        attention: score of decoder state and encoder state, see `lamplighter.nn.attention_scores`; ``none``: no
            attention.
        dropout: probability with which an embedding's or a hidden number is set to 0 in training.
        forget_bias: start of an LSTM's forget bias; null: random.

    Shapes:
        input_ids (N, S), attention_mask (N, S) or None, decoder_input_ids (N, T) -> logits (N, T, vocab_size)

    Raises:
        LamplighterError: an odd hidden_size with two directions.

    >>> model = Seq2Seq(vocab_size=9, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    >>> model(torch.tensor([[3, 4, 5]]), None, torch.tensor([[1, 5]])).shape
    torch.Size([1, 2, 9])
    """

    def __init__(
        self,
        vocab_size: Annotated[int, FromData],
        pad_token_id: Annotated[int, FromData],
        bos_token_id: Annotated[int, FromData],
        eos_token_id: Annotated[int, FromData],
        embedding_dim: Annotated[int, Field(gt=0)] = 64,
        hidden_size: Annotated[int, Field(gt=0)] = 128,
        num_layers: Annotated[int, Field(gt=0)] = 1,
        bidirectional: bool = True,
        cell: Literal["lstm", "gru", "rnn"] = "lstm",
        attention: Attention = "additive",
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        forget_bias: float | None = 1.0,
    ) -> None:
        super().__init__()
        if bidirectional and hidden_size % 2:
            raise LamplighterError(
                f"seq2seq: hidden_size is {hidden_size}; a bidirectional encoder halves it, so it must be even"
            )
        self.vocab_size, self.pad_token_id = vocab_size, pad_token_id
        self.bos_token_id, self.eos_token_id = bos_token_id, eos_token_id
        self.embedding = Embedding(vocab_size, embedding_dim, padding_idx=pad_token_id)
        half = hidden_size // 2 if bidirectional else hidden_size
        options = {"dropout": dropout, "forget_bias": forget_bias}
        self.encoder = Recurrent(cell, embedding_dim, half, num_layers, bidirectional, **options)  # type: ignore[arg-type]
        self.decoder = RecurrentDecoder(cell, embedding_dim, hidden_size, num_layers, **options)  # type: ignore[arg-type]
        self.bridge = nn.Linear(hidden_size, hidden_size * num_layers * (2 if cell == "lstm" else 1))
        self.attention: ScoreAttention | None = None
        self.combine: nn.Linear | None = None
        if attention != "none":
            self.attention = score_attention(attention, hidden_size, hidden_size)
            self.combine = nn.Linear(2 * hidden_size, hidden_size, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden_size, vocab_size)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None, decoder_input_ids: Tensor) -> Tensor:
        return self.decode(decoder_input_ids, self.encode(input_ids, attention_mask), attention_mask)

    def encode(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """The encoder's states, (N, S, hidden_size), zeros at padding."""
        mask = check_tokens(input_ids, attention_mask, self.vocab_size, "seq2seq")
        states: Tensor = self.encoder(self.dropout(self.embedding(input_ids)), mask)
        return states

    def decode(self, decoder_input_ids: Tensor, memory: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Logits of the token behind each of ``decoder_input_ids``.

        Args:
            decoder_input_ids: (N, T), begins with ``bos_token_id``; padding behind is allowed and has no effect on
                what stands before it.
            memory: of `encode`.
            attention_mask: (N, S), of the source.
        """
        check_tokens(decoder_input_ids, None, self.vocab_size, "seq2seq decoder")
        mask = None if attention_mask is None else attention_mask.bool()
        x = self.dropout(self.embedding(decoder_input_ids))
        hidden, _ = self.decoder(x, self._first_state(memory, mask))
        logits: Tensor = self.head(self._attended(hidden, memory, mask, None)[0])
        return logits

    def attention_weights(self, input_ids: Tensor, attention_mask: Tensor | None, decoder_input_ids: Tensor) -> Tensor:
        """How much each target position looks at each source position, (N, T, S): the alignment.

        Raises:
            LamplighterError: the model has no attention.
        """
        mask = None if attention_mask is None else attention_mask.bool()
        memory = self.encode(input_ids, attention_mask)
        hidden, _ = self.decoder(self.embedding(decoder_input_ids), self._first_state(memory, mask))
        weights = self._attended(hidden, memory, mask, None)[1]
        if weights is None:
            raise LamplighterError("seq2seq: a model with attention: none has no attention weights")
        return weights

    def start(self, memory: Tensor, attention_mask: Tensor | None = None) -> dict[str, Tensor]:
        """What `step` needs: tensors with rows first, see `lamplighter.models.generation.seq2seq.StepDecoder`."""
        mask = None if attention_mask is None else attention_mask.bool()
        carried = {"memory": memory}
        if mask is not None:
            carried["mask"] = mask
        if self.attention is not None:
            carried["projected"] = self.attention.project(memory)
        return carried | _named(self._first_state(memory, mask))

    def step(self, token_ids: Tensor, carried: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits (N, vocab_size) of the token behind ``token_ids`` (N,), and what the next step needs."""
        state = tuple(carried[name].transpose(0, 1) for name in ("h", "c") if name in carried)
        hidden, state = self.decoder(self.embedding(token_ids.unsqueeze(1)), state)
        attended, _ = self._attended(hidden, carried["memory"], carried.get("mask"), carried.get("projected"))
        logits: Tensor = self.head(attended.squeeze(1))
        return logits, carried | _named(state)

    def _first_state(self, memory: Tensor, mask: Tensor | None) -> State:
        """From what the encoder knows at its end, for each layer of the decoder."""
        summary = torch.tanh(self.bridge(self.encoder.final(memory, mask)))
        parts = summary.unflatten(1, (-1, self.decoder.num_layers, self.decoder.hidden_size)).unbind(1)
        return tuple(part.transpose(0, 1) for part in parts)

    def _attended(
        self, hidden: Tensor, memory: Tensor, mask: Tensor | None, projected: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """tanh(W_c [context; h]) and the weights; h itself without attention."""
        if self.attention is None or self.combine is None:
            return self.dropout(hidden), None
        context, weights = self.attention(hidden, memory, mask, projected)
        return self.dropout(torch.tanh(self.combine(torch.cat([context, hidden], dim=2)))), weights


def _named(state: State) -> dict[str, Tensor]:
    """A state with rows first, under names."""
    return {name: part.transpose(0, 1) for name, part in zip(("h", "c"), state)}
