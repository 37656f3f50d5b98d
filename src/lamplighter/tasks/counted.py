"""Language models that only count: the bar that a trained one has to clear.

Legend: N rows, L tokens of a row, V tokens of the vocabulary, P different pairs of neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn

from lamplighter.data.source import Batch, Rows

_CHUNK = 512


class UnigramCounts(nn.Module):
    """Always the same probabilities: how often each token was seen, plus one.

    Args:
        counts_V: of the training split.

    Shapes:
        (N, L), (N, L) -> (N, L, V)
    """

    log_p_V: Tensor

    def __init__(self, counts_V: np.ndarray) -> None:
        super().__init__()
        seen = torch.from_numpy(counts_V.astype(np.float64)) + 1.0
        self.register_buffer("log_p_V", (seen / seen.sum()).log().float())

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.log_p_V.expand(*input_ids.shape, -1)


class BigramCounts(nn.Module):
    """p(w | v) = (c(v, w) + a p(w)) / (c(v) + a): what followed each token, drawn towards what is frequent anyway.

    That is Dirichlet smoothing (MacKay and Peto 1995) with p(w) of `UnigramCounts`. The strength a is the one of a few
    powers of two under which each training pair is likeliest when its own occurrence is left out.

    Args:
        pairs_P2: different pairs (v, w) of neighbours, in ascending order.
        counts_P: how often each was seen.
        counts_V: how often each token was seen as w.

    Shapes:
        (N, L), (N, L) -> (N, L, V)
    """

    log_p_V: Tensor
    followers_P: Tensor
    counts_P: Tensor
    first_V: Tensor
    seen_V: Tensor

    def __init__(self, pairs_P2: np.ndarray, counts_P: np.ndarray, counts_V: np.ndarray) -> None:
        super().__init__()
        smooth = (counts_V + 1.0) / (counts_V + 1.0).sum()
        vocabulary = len(counts_V)
        self.register_buffer("log_p_V", torch.from_numpy(np.log(smooth)).float())
        self.register_buffer("followers_P", torch.from_numpy(pairs_P2[:, 1].astype(np.int64)))
        self.register_buffer("counts_P", torch.from_numpy(counts_P.astype(np.float32)))
        starts = np.searchsorted(pairs_P2[:, 0], np.arange(vocabulary + 1))
        self.register_buffer("first_V", torch.from_numpy(starts.astype(np.int64)))
        seen = np.bincount(pairs_P2[:, 0], counts_P, minlength=vocabulary)
        self.register_buffer("seen_V", torch.from_numpy(seen.astype(np.float32)))
        self.strength = _strength(counts_P, seen[pairs_P2[:, 0]], smooth[pairs_P2[:, 1]])

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        before = input_ids.reshape(-1)
        numbers = self.strength * self.log_p_V.exp().repeat(len(before), 1)
        lengths = self.first_V[before + 1] - self.first_V[before]
        row = torch.repeat_interleave(torch.arange(len(before), device=before.device), lengths)
        offset = torch.arange(len(row), device=before.device) - (lengths.cumsum(0) - lengths)[row]
        pair = self.first_V[before][row] + offset
        numbers.index_put_((row, self.followers_P[pair]), self.counts_P[pair], accumulate=True)
        return (numbers / (self.seen_V[before] + self.strength).unsqueeze(1)).log().view(*input_ids.shape, -1)


def count_tokens(rows: Rows, vocab_size: int, of: Callable[[Batch], Tensor]) -> np.ndarray:
    """(V,) how often each token is in a split.

    Args:
        rows: of the split.
        vocab_size: V.
        of: batch -> the ids that count.
    """
    counts = np.zeros(vocab_size, np.int64)
    for batch in _batches(rows):
        counts += np.bincount(of(batch).numpy().reshape(-1), minlength=vocab_size)
    return counts


def count_pairs(rows: Rows, vocab_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Different pairs of a token and the next one (``y``), (P, 2) in ascending order, and how often each is there."""
    found: dict[int, int] = {}
    for batch in _batches(rows):
        counts = batch["y"] >= 0
        keys, times = np.unique(
            (batch["input_ids"][counts] * vocab_size + batch["y"][counts]).numpy(), return_counts=True
        )
        for key, count in zip(keys.tolist(), times.tolist()):
            found[key] = found.get(key, 0) + count
    keys = np.array(sorted(found), np.int64)
    pairs = np.stack([keys // vocab_size, keys % vocab_size], axis=1)
    return pairs, np.array([found[key] for key in keys.tolist()], np.int64)


def _batches(rows: Rows) -> Iterable[Batch]:
    for start in range(0, len(rows), _CHUNK):
        yield rows.fetch(np.arange(start, min(start + _CHUNK, len(rows))))


def _strength(counts_P: np.ndarray, seen_P: np.ndarray, smooth_P: np.ndarray) -> float:
    """The power of two under which pairs, each left out once, are likeliest."""

    def fit(strength: float) -> float:
        p = (counts_P - 1 + strength * smooth_P) / (seen_P - 1 + strength)
        return float((counts_P * np.log(p)).sum())

    return max((2.0**power for power in range(-2, 16)), key=fit)
