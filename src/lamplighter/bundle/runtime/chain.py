"""Decodes a linear-chain CRF in numpy: the likeliest sequence of tags, and how likely each tag is.

The same formulas as `lamplighter.nn.crf`, which trains it. Legend: L words, K tags.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator


class Chain(BaseModel):
    """Scores of a CRF besides the network's own.

    Attributes:
        start: (K,) of the first tag.
        end: (K,) of the last tag.
        transitions: (K, K) from row to column.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: Annotated[tuple[FiniteFloat, ...], Field(min_length=1)]
    end: tuple[FiniteFloat, ...]
    transitions: tuple[tuple[FiniteFloat, ...], ...]

    @model_validator(mode="after")
    def _square(self) -> Chain:
        size = len(self.start)
        if {len(self.end), len(self.transitions), *map(len, self.transitions)} != {size}:
            raise ValueError(f"start, end and transitions need one entry for each of {size} tags")
        return self


class Decoder:
    """A `Chain` in use.

    Args:
        chain: checked scores.

    >>> decoder = Decoder(Chain(start=(0, -9), end=(0, 0), transitions=((0, -9), (0, 0))))
    >>> decoder.best(np.array([[0.0, 1.0], [0.0, 3.0]], np.float32)).tolist()  # tag 1 may neither begin nor follow 0
    [0, 0]
    """

    def __init__(self, chain: Chain) -> None:
        self.start = np.array(chain.start, np.float32)
        self.end = np.array(chain.end, np.float32)
        self.transitions = np.array(chain.transitions, np.float32)

    def best(self, x: np.ndarray) -> np.ndarray:
        """The likeliest sequence (Viterbi 1967), (L,); of equal ones the first.

        Args:
            x: (L, K) logits, L > 0.
        """
        score = self.start + x[0]
        origins = np.empty((len(x) - 1, len(score)), np.int64)
        for t in range(1, len(x)):
            paths = score[:, None] + self.transitions
            origins[t - 1] = paths.argmax(axis=0)
            score = paths.max(axis=0) + x[t]
        tags = np.empty(len(x), np.int64)
        tags[-1] = (score + self.end).argmax()
        for t in range(len(x) - 1, 0, -1):
            tags[t - 1] = origins[t - 1, tags[t]]
        return tags

    def marginals(self, x: np.ndarray) -> np.ndarray:
        """(L, K) probability of each tag at each word, whatever the others are; by the forward-backward algorithm."""
        wide = x.astype(np.float64)
        forward, backward = np.empty_like(wide), np.empty_like(wide)
        forward[0], backward[-1] = self.start + wide[0], self.end
        for t in range(1, len(wide)):
            forward[t] = _log_sum(forward[t - 1][:, None] + self.transitions, axis=0) + wide[t]
        for t in range(len(wide) - 1, 0, -1):
            backward[t - 1] = _log_sum(self.transitions + (wide[t] + backward[t])[None, :], axis=1)
        joint = forward + backward
        shares: np.ndarray = np.exp(joint - _log_sum(joint, axis=1)[:, None])
        return shares


def _log_sum(x: np.ndarray, axis: int) -> np.ndarray:
    largest = x.max(axis=axis, keepdims=True)
    total: np.ndarray = np.log(np.exp(x - largest).sum(axis=axis)) + largest.squeeze(axis)
    return total
