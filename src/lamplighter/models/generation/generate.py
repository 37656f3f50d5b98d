"""Writing on: tokens one after the other, each chosen from what the model expects next."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from lamplighter.core.errors import InputError
from lamplighter.models.generation.choosing import Chooser
from lamplighter.models.generation.settings import GenerationSettings
from lamplighter.models.generation.stopping import StopRule
from lamplighter.nn.kv_cache import KVCache
from lamplighter.nn.tokens import check_tokens


class Decoder(Protocol):
    """What generation needs of a model; see `lamplighter.models.causal.CausalModel`."""

    name: str
    vocab_size: int
    pad_token_id: int | None
    max_length: int
    depth: int
    head_name: str
    training: bool

    def next_logits(self, input_ids: Tensor, attention_mask: Tensor | None, cache: KVCache) -> Tensor: ...

    def train(self, mode: bool = True) -> Any: ...


def generate(
    model: Decoder,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    settings: GenerationSettings | None = None,
) -> Tensor:
    """Prompts and what the model adds to them.

    Args:
        model: a decoder with head ``lm``.
        input_ids: (N, L), padded in front where prompts differ in length; see `pad_left`.
        attention_mask: (N, L), True at real tokens; None when all are.
        settings: how tokens are chosen and when it ends; greedy, 20 tokens, when None.

    Shapes:
        -> (N, L + T), T at most ``max_new_tokens``; rows that ended earlier are filled up with padding

    Raises:
        InputError: see `stream`.
    """
    added = list(stream(model, input_ids, attention_mask, settings))
    return torch.cat([input_ids, torch.stack(added, 1).to(input_ids.dtype)], 1)


@torch.no_grad()
def stream(
    model: Decoder,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    settings: GenerationSettings | None = None,
) -> Iterator[Tensor]:
    """Like `generate`, giving each new token (N,) as soon as it is chosen; ends when all rows have.

    The model works in evaluation mode and is put back into its own afterwards.

    Raises:
        InputError: the model has no ``lm`` head; a prompt ends with padding, or is nothing but padding; prompt and new
            tokens are more than the model has positions; rows may end apart, and there is no padding to fill them with.
    """
    settings = settings or GenerationSettings()
    mask = check_tokens(input_ids, attention_mask, model.vocab_size, model.name)
    _check(model, input_ids, mask, settings)
    pad = _padding(model, settings, len(input_ids))
    choose = Chooser(settings, input_ids, mask, model.vocab_size)
    stop = StopRule(settings.endings, len(input_ids), input_ids.device)
    with _evaluating(model):
        cache, ids = KVCache(model.depth), input_ids
        for step in range(settings.max_new_tokens):
            tokens = choose(model.next_logits(ids, mask, cache))
            tokens = tokens.where(~stop.finished, pad)
            finished = stop(tokens)
            yield tokens
            if step + 1 == settings.max_new_tokens or bool(finished.all()):
                return
            mask = None if mask is None else torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
            if settings.use_cache:
                ids = tokens[:, None]
            else:
                cache, ids = KVCache(model.depth), torch.cat([ids, tokens[:, None]], 1)


def pad_left(prompts: Sequence[Sequence[int]], pad_token_id: int) -> tuple[Tensor, Tensor]:
    """Prompts of any lengths as one batch whose last column holds real tokens only.

    Returns:
        ``input_ids`` (N, L) and ``attention_mask`` (N, L).

    >>> pad_left([[5], [6, 7]], pad_token_id=0)
    (tensor([[0, 5],
            [6, 7]]), tensor([[False,  True],
            [ True,  True]]))
    """
    longest = max(map(len, prompts))
    missing = [longest - len(prompt) for prompt in prompts]
    ids = torch.tensor([[pad_token_id] * gap + list(prompt) for gap, prompt in zip(missing, prompts)])
    return ids, torch.arange(longest) >= torch.tensor(missing)[:, None]


@contextlib.contextmanager
def _evaluating(model: Decoder) -> Iterator[None]:
    training = model.training
    model.train(False)
    try:
        yield
    finally:
        model.train(training)


def _check(model: Decoder, input_ids: Tensor, mask: Tensor | None, settings: GenerationSettings) -> None:
    if model.head_name != "lm":
        raise InputError(f"{model.name}: generation needs the head 'lm', this model has '{model.head_name}'")
    if mask is not None and not mask[:, -1].all():
        row = int((~mask[:, -1]).nonzero()[0])
        raise InputError(f"{model.name}: prompt {row} ends with padding; pad prompts in front (pad_left)")
    total = input_ids.shape[1] + settings.max_new_tokens
    if total > model.max_length:
        raise InputError(
            f"{model.name}: prompts of {input_ids.shape[1]} tokens and {settings.max_new_tokens} new ones are {total}, "
            f"the model has {model.max_length} positions; lower max_new_tokens or shorten the prompts"
        )
    outside = [token for ending in settings.endings for token in ending if not 0 <= token < model.vocab_size]
    if outside:
        raise InputError(f"{model.name}: eos_token_id or stop holds {outside[0]}, ids go to {model.vocab_size - 1}")


def _padding(model: Decoder, settings: GenerationSettings, rows: int) -> int:
    ends = settings.eos_token_id
    first = ends if isinstance(ends, int) or ends is None else next(iter(ends), None)
    for choice in (settings.pad_token_id, model.pad_token_id, first):
        if choice is not None:
            return choice
    if rows > 1 and settings.endings:
        raise InputError(f"{model.name}: rows may end apart; say with pad_token_id what to fill the shorter ones with")
    return 0
