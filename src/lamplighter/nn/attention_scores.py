"""Attention of a decoder over an encoder's states: additive, dot and general scores, with masks.

One family with one interface; the decoder's sequence asks with all its positions at once. What of the keys does not
depend on the query is computed once for each sequence (`ScoreAttention.project`), which a step-by-step decoder keeps.

Legend: N rows, T positions of the decoder, S positions of the encoder, Q size of a query, K size of a key, A size of
the additive layer.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

ScoreName = Literal["additive", "dot", "general"]


class ScoreAttention(nn.Module):
    """context_t = sum_s a_ts key_s with a = softmax over the real positions s of score(query_t, key_s).

    A subclass says what the score is.
    """

    def project(self, keys: Tensor) -> Tensor:
        """What the scores need of the keys: (N, S, K) -> (N, S, ...)."""
        return keys

    def scores(self, query: Tensor, projected: Tensor) -> Tensor:
        """(N, T, Q), projected keys -> (N, T, S)."""
        raise NotImplementedError

    def forward(
        self, query: Tensor, keys: Tensor, mask: Tensor | None = None, projected: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Contexts and weights.

        Args:
            query: the decoder's states, (N, T, Q).
            keys: the encoder's states, (N, S, K).
            mask: (N, S), True where a key is real; None: all are.
            projected: what `project` gave for these keys; None: computed here.

        Returns:
            Contexts (N, T, K), and weights (N, T, S): 0 at padding, summing to 1. Where a row has no real key both
            are 0.
        """
        scores_NTS = self.scores(query, self.project(keys) if projected is None else projected)
        half = scores_NTS.dtype in (torch.float16, torch.bfloat16)
        if mask is None:
            weights_NTS = scores_NTS.softmax(dim=2, dtype=torch.float32 if half else None).to(keys.dtype)
            return weights_NTS @ keys, weights_NTS
        padding_N1S = ~mask.unsqueeze(1)
        # The lowest finite number, not -inf: of a row of padding alone the softmax would be NaN.
        scores_NTS = scores_NTS.masked_fill(padding_N1S, torch.finfo(scores_NTS.dtype).min)
        weights_NTS = scores_NTS.softmax(dim=2, dtype=torch.float32 if half else None).to(keys.dtype)
        weights_NTS = weights_NTS.masked_fill(padding_N1S, 0.0)
        return weights_NTS @ keys, weights_NTS


class AdditiveAttention(ScoreAttention):
    """score(q, k) = v . tanh(W_dec q + W_enc k + b) (Bahdanau et al. 2015, "Neural Machine Translation by Jointly
    Learning to Align and Translate").

    W [q; k] of the paper, with W = [W_dec | W_enc] split: W_enc k is computed once for each key, not once for each
    pair, and nothing is repeated or joined.

    Args:
        query_size: Q.
        key_size: K; may differ from Q.
        hidden_size: A; None: Q.

    Shapes:
        query (N, T, Q), keys (N, S, K), mask (N, S) or None -> context (N, T, K), weights (N, T, S)

    >>> attention = AdditiveAttention(query_size=4, key_size=6)
    >>> seen = torch.tensor([[True, True, False]])
    >>> context, weights = attention(torch.randn(1, 2, 4), torch.randn(1, 3, 6), seen)
    >>> context.shape, weights[..., 2].tolist()
    (torch.Size([1, 2, 6]), [[0.0, 0.0]])
    """

    def __init__(self, query_size: int, key_size: int, hidden_size: int | None = None) -> None:
        super().__init__()
        hidden = hidden_size or query_size
        self.query = nn.Linear(query_size, hidden, bias=False)
        self.key = nn.Linear(key_size, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)

    def project(self, keys: Tensor) -> Tensor:
        """W_enc k + b: (N, S, K) -> (N, S, A)."""
        projected: Tensor = self.key(keys)
        return projected

    def scores(self, query: Tensor, projected: Tensor) -> Tensor:
        energies_NTSA = torch.tanh(self.query(query).unsqueeze(2) + projected.unsqueeze(1))
        scores_NTS: Tensor = self.score(energies_NTSA).squeeze(3)
        return scores_NTS


class DotAttention(ScoreAttention):
    """score(q, k) = q . k (Luong et al. 2015, "Effective Approaches to Attention-based Neural Machine Translation").

    Args:
        query_size: Q.
        key_size: K, which must equal Q.

    Shapes:
        query (N, T, Q), keys (N, S, Q), mask (N, S) or None -> context (N, T, Q), weights (N, T, S)

    Raises:
        ValueError: sizes that differ.
    """

    def __init__(self, query_size: int, key_size: int) -> None:
        super().__init__()
        if query_size != key_size:
            raise ValueError(
                f"dot attention: query_size is {query_size}, key_size {key_size}; they must be equal, or use general "
                "or additive attention"
            )

    def scores(self, query: Tensor, projected: Tensor) -> Tensor:
        return query @ projected.mT


class GeneralAttention(ScoreAttention):
    """score(q, k) = q . W k (Luong et al. 2015).

    Args:
        query_size: Q.
        key_size: K; may differ from Q.

    Shapes:
        query (N, T, Q), keys (N, S, K), mask (N, S) or None -> context (N, T, K), weights (N, T, S)
    """

    def __init__(self, query_size: int, key_size: int) -> None:
        super().__init__()
        self.key = nn.Linear(key_size, query_size, bias=False)

    def project(self, keys: Tensor) -> Tensor:
        """W k: (N, S, K) -> (N, S, Q)."""
        projected: Tensor = self.key(keys)
        return projected

    def scores(self, query: Tensor, projected: Tensor) -> Tensor:
        return query @ projected.mT


def score_attention(name: ScoreName, query_size: int, key_size: int) -> ScoreAttention:
    """A new attention module by name.

    >>> score_attention("general", 2, 3)
    GeneralAttention(
      (key): Linear(in_features=3, out_features=2, bias=False)
    )
    """
    kinds: dict[ScoreName, type[AdditiveAttention] | type[DotAttention] | type[GeneralAttention]] = {
        "additive": AdditiveAttention,
        "dot": DotAttention,
        "general": GeneralAttention,
    }
    return kinds[name](query_size, key_size)
