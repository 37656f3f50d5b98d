"""The networks that bundles of language models hold: small outputs however large the vocabulary is.

Legend: N rows, L tokens of a row, V tokens of the vocabulary, D width of the hidden states.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lamplighter.nn.masks import last_token
from lamplighter.nn.pooling import masked_mean


class NextToken(nn.Module):
    """A language model as it is served.

    Outputs: the logits of the token that follows a row, (N, V); the log-probability of each token given those before
    it, (N, L), 0 for the first one and for padding; and the mean of the hidden states, (N, D), where the model shows
    them (`shows_states`).

    Args:
        model: maps ids and mask to logits (N, L, V).
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        logits_NLV, states = logits_and_states(self.model, input_ids, attention_mask)
        before = F.pad(logits_NLV.log_softmax(dim=-1)[:, :-1], (0, 0, 1, 0))
        log_p_NL = before.gather(2, input_ids.unsqueeze(2)).squeeze(2) * attention_mask
        following = at(logits_NLV, last_token(attention_mask))
        return following, log_p_NL, *_embedding(states, attention_mask)


class HiddenToken(nn.Module):
    """A masked language model as it is served.

    Outputs: the logits of the first hidden token of a row, or of its last token where none is hidden, (N, V); the
    log-probability of each token at its own place, (N, L), 0 for padding; and the mean of the hidden states, (N, D).

    Args:
        model: maps ids and mask to logits (N, L, V).
        mask_token_id: id of a hidden token.
    """

    def __init__(self, model: nn.Module, mask_token_id: int) -> None:
        super().__init__()
        self.model = model
        self.mask_token_id = mask_token_id

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        logits_NLV, states = logits_and_states(self.model, input_ids, attention_mask)
        log_p_NL = logits_NLV.log_softmax(dim=-1).gather(2, input_ids.unsqueeze(2)).squeeze(2) * attention_mask
        hidden_NL = (input_ids == self.mask_token_id) & attention_mask
        first = torch.where(hidden_NL.any(dim=1), hidden_NL.long().argmax(dim=1), last_token(attention_mask))
        return at(logits_NLV, first), log_p_NL, *_embedding(states, attention_mask)


class NextWritten(nn.Module):
    """An encoder-decoder model as it is served, one token at a time.

    Outputs: the logits of the token that follows what is written so far, (N, V); and the mean of the encoder's states,
    (N, D).

    Args:
        model: see `lamplighter.models.seq2seq`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, decoder_input_ids: Tensor) -> tuple[Tensor, Tensor]:
        model = cast(Any, self.model)
        memory = model.encode(input_ids, attention_mask)
        logits: Tensor = model.decode(decoder_input_ids, memory, attention_mask)[:, -1]
        return logits, masked_mean(memory, attention_mask)


def shows_states(model: nn.Module) -> bool:
    """Whether a model has ``hidden`` and ``head``, its two halves."""
    return callable(getattr(model, "hidden", None)) and isinstance(getattr(model, "head", None), nn.Module)


def logits_and_states(model: nn.Module, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor | None]:
    """(N, L, V), and (N, L, D) of a model that shows its hidden states."""
    if not shows_states(model):
        return model(input_ids, attention_mask), None
    states: Tensor = cast(Any, model).hidden(input_ids, attention_mask)
    return cast(Any, model).head(states), states


def at(values_NLV: Tensor, position_N: Tensor) -> Tensor:
    """The entry of one position in each row: (N, V)."""
    index = position_N[:, None, None].expand(-1, 1, values_NLV.shape[2])
    return values_NLV.gather(1, index).squeeze(1)


def _embedding(states: Tensor | None, attention_mask: Tensor) -> tuple[Tensor, ...]:
    return () if states is None else (masked_mean(states, attention_mask),)
