"""What GPT-2 and Llama share: causal decoding with a cache, heads on the last token, generation."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from lamplighter.models.generation.generate import generate
from lamplighter.models.generation.settings import GenerationSettings
from lamplighter.models.text import check_head
from lamplighter.nn.kv_cache import KVCache
from lamplighter.nn.masks import causal_mask, combine, last_token, padding_mask, positions
from lamplighter.nn.positions import check_length
from lamplighter.nn.tokens import check_tokens


class CausalModel(nn.Module):
    """A decoder whose tokens see only what stands before them.

    A subclass sets the attributes below and writes `decode`.

    Attributes:
        name: as registered, for messages.
        vocab_size: number of tokens.
        pad_token_id: id of padding, or None.
        max_length: longest sequence, and what the model calls it.
        depth: number of layers.
        head_name: ``lm``, ``classifier`` or ``none``.
        window: how many tokens one sees at most, itself among them; None for all before it.
    """

    name: str
    length_argument: str
    vocab_size: int
    pad_token_id: int | None
    max_length: int
    depth: int
    head_name: str
    window: int | None = None

    @property
    def head(self) -> nn.Module:
        """The last module: (N, L, D) -> (N, L, vocab_size), or (N, D) -> (N, num_classes)."""
        raise NotImplementedError

    def decode(
        self, input_ids: Tensor, where: Tensor | None, mask: Tensor | None, past: int, cache: KVCache | None
    ) -> Tensor:
        """States after the last norm, (N, L, D).

        Args:
            input_ids: (N, L).
            where: positions, (N, L); None when rows count from ``past``.
            mask: fits (N, H, L, past + L), causality included; None when there is no padding.
            past: tokens in the cache.
            cache: keys and values of the past, which the new ones are added to.
        """
        raise NotImplementedError

    def hidden(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """States after the last norm, (N, L, D).

        Positions are counted from the first real token of each row, so padding may stand on either side.

        Args:
            input_ids: (N, L).
            attention_mask: (N, L), True at real tokens; None when all are.

        Raises:
            InputError: see `lamplighter.nn.tokens.check_tokens`; or more tokens than positions.
        """
        return self._states(input_ids, check_tokens(input_ids, attention_mask, self.vocab_size, self.name), None)

    def forward_features(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """State of each row's last real token, which has seen all others: (N, D)."""
        states = self.hidden(input_ids, attention_mask)
        if attention_mask is None:
            return states[:, -1]
        last = last_token(attention_mask.bool())[:, None, None].expand(-1, 1, states.shape[-1])
        return states.gather(1, last).squeeze(1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """As `hidden`, through the head."""
        classifies = self.head_name == "classifier"
        output: Tensor = self.head((self.forward_features if classifies else self.hidden)(input_ids, attention_mask))
        return output

    def generate(self, input_ids: Tensor, attention_mask: Tensor | None = None, **settings: Any) -> Tensor:
        """Write on; see `lamplighter.models.generation.generate` and, for the keywords, ``GenerationSettings``.

        Shapes:
            (N, L) -> (N, L + T)
        """
        return generate(self, input_ids, attention_mask, GenerationSettings(**settings))

    def next_logits(self, input_ids: Tensor, attention_mask: Tensor | None, cache: KVCache) -> Tensor:
        """Scores of the token that follows, given those in the cache and these: one step of generation.

        Args:
            input_ids: (N, L), the new tokens only.
            attention_mask: (N, past + L), of all tokens so far; None when all are real.
            cache: grows by L positions.

        Shapes:
            -> (N, vocab_size)
        """
        logits: Tensor = self.head(self._states(input_ids, attention_mask, cache)[:, -1])
        return logits

    def _states(self, input_ids: Tensor, attention_mask: Tensor | None, cache: KVCache | None) -> Tensor:
        length = input_ids.shape[1]
        past = 0 if cache is None else cache.length
        check_length(past + length, self.max_length, self.name, self.length_argument)
        if attention_mask is None and self.window is None:
            return self.decode(input_ids, None, None, past, cache)
        before = None
        if length != 1 or self.window is not None:
            before = causal_mask(length, past + length, window=self.window, device=input_ids.device)
        if attention_mask is None:
            return self.decode(input_ids, None, before, past, cache)
        mask = combine(before, padding_mask(attention_mask))
        return self.decode(input_ids, positions(attention_mask)[:, past:], mask, past, cache)


def check_causal_head(owner: str, head: str) -> None:
    """Refuse what a decoder cannot serve: a tag of a token would not know what follows it."""
    check_head(owner, head, ("lm", "classifier", "none"))
