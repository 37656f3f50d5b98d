"""Writing with an encoder-decoder model: what such a model must be able to do, and greedy search.

Legend: N rows, S positions of the source, T of what is written, V tokens of the vocabulary.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from lamplighter.core.errors import LamplighterError

Carried = dict[str, Any]
"""What a decoder carries from token to token: tensors whose first dimension are the rows, and caches that `reorder`."""


class StepDecoder(Protocol):
    """A model that reads a source at once and writes token by token: ``seq2seq`` and ``transformer`` of the zoo."""

    vocab_size: int
    pad_token_id: int
    bos_token_id: int
    eos_token_id: int

    def encode(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """(N, S) -> memory, (N, S, D)."""
        ...

    def start(self, memory: Tensor, attention_mask: Tensor | None = None) -> Carried:
        """What `step` needs before the first token."""
        ...

    def step(self, token_ids: Tensor, carried: Carried) -> tuple[Tensor, Carried]:
        """Logits (N, V) of the token behind ``token_ids`` (N,), and what the next step needs."""
        ...


def greedy(
    model: StepDecoder, input_ids: Tensor, attention_mask: Tensor | None = None, max_new_tokens: int = 128
) -> Tensor:
    """Always the most probable next token, until each row has ended.

    Call it with the model in eval mode; no graph is recorded.

    Args:
        model: see `StepDecoder`.
        input_ids: (N, S), the sources.
        attention_mask: (N, S), True at real tokens; None: all are.
        max_new_tokens: most tokens written, the end token among them.

    Returns:
        (N, T): tokens up to the end token, which is there unless ``max_new_tokens`` came first, and padding behind. T
        is the length of the longest row.
    """
    check_budget(max_new_tokens)
    with torch.no_grad():
        carried = model.start(model.encode(input_ids, attention_mask), attention_mask)
        token = input_ids.new_full((len(input_ids),), model.bos_token_id)
        running = torch.ones_like(token, dtype=torch.bool)
        written: list[Tensor] = []
        for _ in range(max_new_tokens):
            logits, carried = model.step(token, carried)
            token = log_probabilities(model, logits).argmax(dim=1).masked_fill(~running, model.pad_token_id)
            written.append(token)
            running = running & (token != model.eos_token_id)
            if not running.any():
                break
        return torch.stack(written, dim=1)


def log_probabilities(model: StepDecoder, logits: Tensor) -> Tensor:
    """log softmax in float32 at least, with -inf for padding and the begin token, which are never written."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(dim=-1)
    never = [token for token in {model.pad_token_id, model.bos_token_id} if token != model.eos_token_id]
    return wide.index_fill(-1, torch.tensor(never, device=wide.device), -torch.inf) if never else wide


def select(carried: Carried, rows: Tensor) -> Carried:
    """The same state for these rows, in this order; a row may come several times.

    Args:
        carried: of a `StepDecoder`; caches in it are reordered in place.
        rows: (M,), indices.
    """
    chosen: Carried = {}
    for name, value in carried.items():
        if isinstance(value, Tensor):
            chosen[name] = value.index_select(0, rows)
        else:
            value.reorder(rows)
            chosen[name] = value
    return chosen


def check_budget(max_new_tokens: int) -> None:
    """Raise a LamplighterError unless at least one token may be written."""
    if max_new_tokens < 1:
        raise LamplighterError(f"max_new_tokens is {max_new_tokens}; it must be at least 1")
