"""Choosing the next token of each row from its scores."""

from __future__ import annotations

import secrets

import numpy as np
import torch
from torch import Tensor

from lamplighter.core import seeding
from lamplighter.models.generation import filters
from lamplighter.models.generation.settings import GenerationSettings


class Chooser:
    """Applies the filters in transformers' order (penalty, temperature, top-k, top-p), then takes the best or draws.

    Each row has random numbers of its own, so what is drawn does not depend on the other rows of the batch.

    Args:
        settings: see there.
        input_ids: (N, L), the prompts.
        attention_mask: (N, L), their real tokens; None for all.
        vocab_size: number of tokens.
    """

    def __init__(
        self, settings: GenerationSettings, input_ids: Tensor, attention_mask: Tensor | None, vocab_size: int
    ) -> None:
        self.settings = settings
        seed = secrets.randbits(63) if settings.seed is None else settings.seed
        self._streams = [seeding.generator(seed, "generate", row) for row in range(len(input_ids))]
        self._seen: Tensor | None = None
        if settings.repetition_penalty != 1:
            counts = torch.zeros(len(input_ids), vocab_size, dtype=torch.int64, device=input_ids.device)
            real = torch.ones_like(input_ids) if attention_mask is None else attention_mask.long()
            self._seen = counts.scatter_add_(1, input_ids, real) > 0

    def __call__(self, logits: Tensor) -> Tensor:
        """(N, V) -> (N,)."""
        settings = self.settings
        if self._seen is not None:
            logits = filters.repetition_penalty(logits, self._seen, settings.repetition_penalty)
        tokens = self._drawn(logits) if settings.do_sample else logits.argmax(-1)
        if self._seen is not None:
            self._seen.scatter_(1, tokens[:, None], True)
        return tokens

    def _drawn(self, logits: Tensor) -> Tensor:
        settings = self.settings
        logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
        if settings.temperature != 1:
            logits = filters.temperature(logits, settings.temperature)
        if settings.top_k is not None:
            logits = filters.top_k(logits, settings.top_k)
        if settings.top_p < 1:
            logits = filters.top_p(logits, settings.top_p)
        uniform = np.array([stream.random() for stream in self._streams])
        return draw(logits.softmax(-1), torch.from_numpy(uniform).to(logits.device, logits.dtype))


def draw(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """Inverse transform sampling: the first token at which the summed probability exceeds a number from [0, 1).

    Shapes:
        (N, V), (N,) -> (N,)

    >>> draw(torch.tensor([[0.2, 0.0, 0.8]]).expand(3, 3), torch.tensor([0.1, 0.2, 0.9999999]))
    tensor([0, 2, 2])
    """
    summed = probabilities.cumsum(-1)
    threshold = uniform[:, None] * summed[:, -1:]
    found = torch.searchsorted(summed, threshold, right=True).squeeze(-1)
    # Rounding may carry the threshold to the very end, behind the last token that can be drawn.
    last = (probabilities > 0) * torch.arange(probabilities.shape[-1], device=probabilities.device)
    return torch.minimum(found, last.amax(-1))
