"""Beam search for encoder-decoder models, with a length penalty.

Legend: N rows, S positions of the source, K beams, T positions written, V tokens of the vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lamplighter.core.errors import LamplighterError
from lamplighter.models.generation.seq2seq import StepDecoder, check_budget, log_probabilities, select


class Beams(NamedTuple):
    """What a search found, the best of each row first.

    Attributes:
        sequences: (N, K, T), tokens up to the end token, padding behind.
        scores: (N, K), log p(sequence) / length^length_penalty; -inf where fewer than K were found.
    """

    sequences: Tensor
    scores: Tensor

    @property
    def best(self) -> Tensor:
        """(N, T)."""
        return self.sequences[:, 0]


def beam_search(
    model: StepDecoder,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    num_beams: int = 4,
    length_penalty: float = 1.0,
    max_new_tokens: int = 128,
) -> Beams:
    """Follow the K most probable beginnings at once; of what they end in, give the best (Wu et al. 2016, section 7).

    A sum of log probabilities falls with every token, so without correction short sequences win: hypotheses are
    compared by log p / length^length_penalty. A row is done when K of its hypotheses have ended; those that have not
    when ``max_new_tokens`` are written count as they are. One beam is greedy search.

    Args:
        model: in eval mode; see `StepDecoder`. No graph is recorded.
        input_ids: (N, S), the sources.
        attention_mask: (N, S), True at real tokens; None: all are.
        num_beams: K.
        length_penalty: 0 compares sums, 1 means per token, more favours long sequences.
        max_new_tokens: most tokens written, the end token among them.

    Raises:
        LamplighterError: fewer than one beam or token.
    """
    check_budget(max_new_tokens)
    if num_beams < 1:
        raise LamplighterError(f"num_beams is {num_beams}; it must be at least 1")
    with torch.no_grad():
        search = _Search(model, input_ids, attention_mask, num_beams, length_penalty, max_new_tokens)
        while search.step():
            pass
        return search.result()


class _Search:
    """Beginnings that are alive and hypotheses that have ended, of all rows at once."""

    def __init__(
        self,
        model: StepDecoder,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        beams: int,
        penalty: float,
        limit: int,
    ) -> None:
        rows = len(input_ids)
        self.model, self.beams, self.penalty, self.limit, self.length = model, beams, penalty, limit, 0
        carried = model.start(model.encode(input_ids, attention_mask), attention_mask)
        self.carried = select(carried, torch.arange(rows, device=input_ids.device).repeat_interleave(beams))
        self.token = input_ids.new_full((rows * beams,), model.bos_token_id)
        self.alive_NKT = input_ids.new_full((rows, beams, limit), model.pad_token_id)
        self.alive_NK = torch.full((rows, beams), -torch.inf, device=input_ids.device)
        self.alive_NK[:, 0] = 0.0  # all beams begin alike: only one of them counts
        self.ended_NKT = self.alive_NKT.clone()
        self.ended_NK = torch.full_like(self.alive_NK, -torch.inf)

    def step(self) -> bool:
        """Write one token more; False when all rows are done."""
        logits, self.carried = self.model.step(self.token, self.carried)
        rows, beams, vocabulary = len(self.alive_NK), self.beams, logits.shape[1]
        scores_NKV = log_probabilities(self.model, logits).view(rows, beams, vocabulary) + self.alive_NK.unsqueeze(2)
        # At most K of the best 2 K end, so K remain to go on with.
        best, index = scores_NKV.flatten(1).topk(min(2 * beams, beams * vocabulary), dim=1)
        origin, token = index // vocabulary, index % vocabulary
        candidates = self.alive_NKT.gather(1, origin.unsqueeze(2).expand(-1, -1, self.limit))
        candidates[:, :, self.length] = token
        self.length += 1
        ends = token == self.model.eos_token_id
        among_best = torch.arange(best.shape[1], device=best.device) < beams
        done = self._done().unsqueeze(1)
        self._end(candidates, best.masked_fill(~(ends & among_best) | done, -torch.inf))
        self.alive_NK, kept = _top(best.masked_fill(ends, -torch.inf), beams)
        self.alive_NKT = candidates.gather(1, kept.unsqueeze(2).expand(-1, -1, self.limit))
        self.token = token.gather(1, kept).flatten()
        first = torch.arange(rows, device=best.device).unsqueeze(1) * beams
        self.carried = select(self.carried, (first + origin.gather(1, kept)).flatten())
        return self.length < self.limit and not bool((self._done() | self._stuck()).all())

    def result(self) -> Beams:
        """All hypotheses, those that were cut off among them."""
        self._end(self.alive_NKT, self.alive_NK.masked_fill(self._done().unsqueeze(1), -torch.inf))
        longest = max(1, int((self.ended_NKT != self.model.pad_token_id).sum(dim=2).amax()))
        return Beams(self.ended_NKT[:, :, :longest], self.ended_NK)

    def _end(self, sequences: Tensor, log_p: Tensor) -> None:
        """Take hypotheses of the present length in among those that have ended; the best K stay."""
        scores = torch.cat([self.ended_NK, log_p / self.length**self.penalty], dim=1)
        sequences = torch.cat([self.ended_NKT, sequences], dim=1)
        self.ended_NK, kept = _top(scores, self.beams)
        self.ended_NKT = sequences.gather(1, kept.unsqueeze(2).expand(-1, -1, self.limit))
        self.ended_NKT = self.ended_NKT.masked_fill(self.ended_NK.isinf().unsqueeze(2), self.model.pad_token_id)

    def _done(self) -> Tensor:
        return torch.isfinite(self.ended_NK).all(dim=1)

    def _stuck(self) -> Tensor:
        """Nothing is left to go on with, as when a tiny vocabulary has been tried out."""
        return torch.isinf(self.alive_NK).all(dim=1)


def _top(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The best, in order; of equal ones the first."""
    ordered, index = scores.sort(dim=1, descending=True, stable=True)
    return ordered[:, :count], index[:, :count]
