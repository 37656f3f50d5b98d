"""Linear-chain conditional random field: the best sequence of tags, not the best tag at each position.

Legend: N rows, L positions, T tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lamplighter.core.errors import DataError
from lamplighter.nn.masks import last_token

_FORBIDDEN = -1e6
"""Score of a transition that is not allowed. Scores are float32 or wider here; exp of it is 0, and sums stay finite."""


class CRF(nn.Module):
    """p(y | x) = exp(s(x, y)) / sum over all y' of exp(s(x, y')) (Lafferty et al. 2001, "Conditional Random Fields"),

    with s(x, y) = start[y_1] + sum_t x_t[y_t] + sum_t transitions[y_t, y_(t+1)] + end[y_L], where x are a network's
    scores (emissions) and y a sequence of tags. Sums over all T^L sequences take L steps, by the forward algorithm in
    logarithms; the best sequence is found by Viterbi's. Names of the parameters are pytorch-crf's. Computed in float32
    at least, also under half precision.

    Padding stands behind the real positions.

    Args:
        num_tags: T.
        labels: names of the tags. When they are BIO or IOBES tags (``O``, ``B-PER``, ``I-PER`` ...), what the scheme
            forbids has probability 0: see `allowed_transitions`. None: everything is allowed.

    Raises:
        ValueError: labels of another number than ``num_tags``.

    >>> crf = CRF(3, labels=("O", "B-PER", "I-PER"))
    >>> emissions = torch.tensor([[[1.0, 0.0, 9.0], [0.0, 0.0, 9.0]]])
    >>> emissions.argmax(2), crf.decode(emissions)  # I may not come first
    (tensor([[2, 2]]), tensor([[1, 2]]))
    """

    allowed_start: Tensor
    allowed_end: Tensor
    allowed: Tensor

    def __init__(self, num_tags: int, labels: Sequence[str] | None = None) -> None:
        super().__init__()
        if num_tags < 1:
            raise ValueError(f"CRF: num_tags is {num_tags}; it must be at least 1")
        if labels is not None and len(labels) != num_tags:
            raise ValueError(f"CRF: {len(labels)} labels do not fit num_tags ({num_tags})")
        self.num_tags = num_tags
        self.labels = None if labels is None else tuple(labels)
        self.start_transitions = nn.Parameter(torch.empty(num_tags).uniform_(-0.1, 0.1))
        self.end_transitions = nn.Parameter(torch.empty(num_tags).uniform_(-0.1, 0.1))
        self.transitions = nn.Parameter(torch.empty(num_tags, num_tags).uniform_(-0.1, 0.1))
        start, end, allowed = allowed_transitions(labels or ["O"] * num_tags)
        self.register_buffer("allowed_start", start, persistent=False)
        self.register_buffer("allowed_end", end, persistent=False)
        self.register_buffer("allowed", allowed, persistent=False)

    def forward(self, emissions: Tensor, tags: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """-log p(tags | emissions) of each row.

        Args:
            emissions: (N, L, T).
            tags: (N, L), int64; what stands at padding has no effect.
            attention_mask: (N, L), True at real positions; None: all are.

        Returns:
            (N,).

        Raises:
            DataError: tags that the scheme of the labels forbids, which no training could make likely; or a tag that
                is none.
        """
        x, mask = self._prepared(emissions, attention_mask)
        tags = tags.masked_fill(~mask, 0)
        self._check_tags(tags, mask)
        return self.log_partition(emissions, attention_mask) - self._score(x, tags, mask)

    def log_partition(self, emissions: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """log of the sum over all sequences of exp(score), (N,)."""
        x, mask = self._prepared(emissions, attention_mask)
        start, end, transitions = self._scores(x.dtype)
        alpha = start + x[:, 0]
        for t in range(1, x.shape[1]):
            alpha = torch.where(mask[:, t : t + 1], _forward_step(alpha, transitions, x[:, t]), alpha)
        return torch.logsumexp(alpha + end, dim=1)

    def decode(self, emissions: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """The most probable sequence of each row (Viterbi 1967), (N, L), 0 at padding. Of equal ones the first wins."""
        x, mask = self._prepared(emissions.detach(), attention_mask)
        start, end, transitions = (part.detach() for part in self._scores(x.dtype))
        rows, length, tags = x.shape
        stay = torch.arange(tags, device=x.device).expand(rows, tags)
        best = start + x[:, 0]
        origins: list[Tensor] = []
        for t in range(1, length):
            scores, origin = (best.unsqueeze(2) + transitions).max(dim=1)
            real = mask[:, t : t + 1]
            best = torch.where(real, scores + x[:, t], best)
            origins.append(torch.where(real, origin, stay))
        tag = (best + end).argmax(dim=1)
        path = [tag]
        for origin in reversed(origins):
            tag = origin.gather(1, tag.unsqueeze(1)).squeeze(1)
            path.append(tag)
        return torch.stack(path[::-1], dim=1).masked_fill(~mask, 0)

    def marginals(self, emissions: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """p(y_t = k | x) at each position, (N, L, T), 0 at padding; by the forward-backward algorithm."""
        x, mask = self._prepared(emissions, attention_mask)
        start, end, transitions = self._scores(x.dtype)
        length = x.shape[1]
        alphas = [start + x[:, 0]]
        for t in range(1, length):
            alphas.append(torch.where(mask[:, t : t + 1], _forward_step(alphas[-1], transitions, x[:, t]), alphas[-1]))
        beta = end.expand_as(alphas[0])
        betas = [beta]
        for t in range(length - 1, 0, -1):
            before = torch.logsumexp((x[:, t] + beta).unsqueeze(1) + transitions, dim=2)
            beta = torch.where(mask[:, t : t + 1], before, beta)
            betas.append(beta)
        joint = torch.stack(alphas, dim=1) + torch.stack(betas[::-1], dim=1)
        return joint.softmax(dim=2).masked_fill(~mask.unsqueeze(2), 0.0)

    def settings(self) -> dict[str, list[Any]]:
        """``start``, ``end`` and ``transitions`` as plain numbers, what is forbidden out of reach: enough to decode."""
        start, end, transitions = (part.detach().cpu() for part in self._scores(torch.float32))
        return {"start": start.tolist(), "end": end.tolist(), "transitions": transitions.tolist()}

    def _score(self, x: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """s(x, y) of the given tags, (N,)."""
        start, end, transitions = self._scores(x.dtype)
        emitted = x.gather(2, tags.unsqueeze(2)).squeeze(2).masked_fill(~mask, 0.0).sum(dim=1)
        passed = transitions[tags[:, :-1], tags[:, 1:]].masked_fill(~mask[:, 1:], 0.0).sum(dim=1)
        last = tags.gather(1, last_token(mask).unsqueeze(1)).squeeze(1)
        return start[tags[:, 0]] + emitted + passed + end[last]

    def _scores(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Start, end and transitions, with what is forbidden out of reach."""
        return (
            self.start_transitions.to(dtype).masked_fill(~self.allowed_start, _FORBIDDEN),
            self.end_transitions.to(dtype).masked_fill(~self.allowed_end, _FORBIDDEN),
            self.transitions.to(dtype).masked_fill(~self.allowed, _FORBIDDEN),
        )

    def _prepared(self, emissions: Tensor, attention_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        if emissions.dim() != 3 or emissions.shape[2] != self.num_tags or emissions.shape[1] == 0:
            raise ValueError(
                f"CRF: emissions are {tuple(emissions.shape)}; they must be (N, L, {self.num_tags}), L > 0"
            )
        wide = emissions.to(torch.promote_types(emissions.dtype, torch.float32))
        if attention_mask is None:
            return wide, emissions.new_ones(emissions.shape[:2], dtype=torch.bool)
        if attention_mask.shape != emissions.shape[:2]:
            raise ValueError(
                f"CRF: attention_mask is {tuple(attention_mask.shape)}, emissions are {tuple(emissions.shape)}"
            )
        mask = attention_mask.bool()
        if not torch.compiler.is_compiling() and not mask[:, 0].all():
            row = int((~mask[:, 0]).nonzero()[0])
            raise ValueError(
                f"CRF: row {row} begins with padding; real positions come first, and there is one at least"
            )
        return wide, mask

    def _check_tags(self, tags: Tensor, mask: Tensor) -> None:
        wrong = ((tags < 0) | (tags >= self.num_tags)) & mask
        if wrong.any():
            row, position = wrong.nonzero()[0].tolist()
            raise DataError(
                f"CRF: tag {int(tags[row, position])} (row {row}, position {position}) is none of the "
                f"{self.num_tags} tags"
            )
        last = last_token(mask)
        moves = ~self.allowed[tags[:, :-1], tags[:, 1:]] & mask[:, 1:]
        starts = ~self.allowed_start[tags[:, 0]]
        ends = ~self.allowed_end[tags.gather(1, last.unsqueeze(1)).squeeze(1)]
        if not (moves.any() or starts.any() or ends.any()):
            return
        assert self.labels is not None
        if starts.any():
            row = int(starts.nonzero()[0])
            what = f"row {row} begins with '{self.labels[int(tags[row, 0])]}'"
        elif moves.any():
            row, position = moves.nonzero()[0].tolist()
            pair = [self.labels[int(tag)] for tag in tags[row, position : position + 2]]
            what = f"row {row}, position {position + 1}: '{pair[1]}' follows '{pair[0]}'"
        else:
            row = int(ends.nonzero()[0])
            what = f"row {row} ends with '{self.labels[int(tags[row, last[row]])]}'"
        raise DataError(f"CRF: {what}, which the tagging scheme forbids; mend the data, or use a CRF without labels")


def allowed_transitions(labels: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
    """What a tagging scheme allows: first tags (T,), last tags (T,), and pairs (T, T), from row to column.

    In BIO ``I-X`` only follows ``B-X`` or ``I-X``. With ``E-`` or ``S-`` among the labels the scheme is IOBES: an
    entity of several tokens runs from ``B-X`` over ``I-X`` to ``E-X``, ``S-X`` is one of a single token. Labels that
    are not all ``O`` or such a prefix with a type (parts of speech, say) allow everything, and so do labels without
    any ``B-`` or ``S-``.

    >>> start, end, allowed = allowed_transitions(["O", "B-PER", "I-PER", "I-LOC"])
    >>> start.tolist(), allowed[1].tolist()
    ([True, True, False, False], [True, True, True, False])
    """
    parts = [("O", "") if label == "O" else tuple(label.partition("-")[::2]) for label in labels]
    prefixes = {prefix for prefix, _ in parts}
    typed = all(kind for prefix, kind in parts if prefix != "O")
    if not (prefixes <= set("OBIES") and typed and prefixes & {"B", "S"}):
        tags = len(labels)
        everything = torch.ones(tags, dtype=torch.bool)
        return everything, everything.clone(), torch.ones(tags, tags, dtype=torch.bool)
    closed = bool(prefixes & {"E", "S"})
    goes_on = ("I", "E") if closed else ("I",)

    def may_follow(before: tuple[str, ...], after: tuple[str, ...]) -> bool:
        inside = before[0] in "BI"
        if after[0] in goes_on:
            return inside and before[1] == after[1]
        return not (closed and inside)

    start = torch.tensor([prefix not in goes_on for prefix, _ in parts])
    end = torch.tensor([not (closed and prefix in "BI") for prefix, _ in parts])
    return start, end, torch.tensor([[may_follow(before, after) for after in parts] for before in parts])


def _forward_step(alpha: Tensor, transitions: Tensor, emission: Tensor) -> Tensor:
    """log sum over the tag before of exp(alpha + transition), plus the emission: (N, T) -> (N, T)."""
    return torch.logsumexp(alpha.unsqueeze(2) + transitions, dim=1) + emission
