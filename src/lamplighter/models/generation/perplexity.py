"""Perplexity: how surprised a language model is by a text."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Surprise:
    """Summed negative log-likelihood of tokens, which adds up over batches.

    Attributes:
        nll: sum of -ln p, in nats.
        tokens: how many were predicted.

    >>> round((Surprise(math.log(8), 1) + Surprise(math.log(2), 1)).perplexity, 4)
    4.0
    """

    nll: float
    tokens: int

    def __add__(self, other: Surprise) -> Surprise:
        return Surprise(self.nll + other.nll, self.tokens + other.tokens)

    @property
    def perplexity(self) -> float:
        """exp(nll / tokens); NaN without tokens."""
        return math.exp(self.nll / self.tokens) if self.tokens else math.nan


@torch.no_grad()
def surprise(model: nn.Module, input_ids: Tensor, attention_mask: Tensor | None = None) -> Surprise:
    """-ln p(token | those before it), summed over all real tokens but the first of each row.

    The mean over tokens, not over rows, is what perplexity is made of: add up `Surprise` over batches of any lengths.

    Args:
        model: with head ``lm``; its mode is left as it is.
        input_ids: (N, L).
        attention_mask: (N, L), True at real tokens; None when all are.
    """
    logits = model(input_ids, attention_mask)[:, :-1]
    targets = input_ids[:, 1:]
    losses = F.cross_entropy(logits.flatten(0, 1).double(), targets.flatten(), reduction="none").view(targets.shape)
    if attention_mask is None:
        return Surprise(float(losses.sum()), targets.numel())
    counted = attention_mask.bool()[:, 1:] & attention_mask.bool()[:, :-1]
    return Surprise(float(losses[counted].sum()), int(counted.sum()))
