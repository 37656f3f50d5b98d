"""When a row of generated tokens has ended."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class StopRule:
    """Watches each row for the sequences that end it.

    Args:
        endings: sequences of token ids.
        rows: N.
        device: of the tokens.

    >>> rule = StopRule([(7,), (1, 2)], rows=2)
    >>> [rule(torch.tensor(tokens)).tolist() for tokens in ([1, 3], [2, 5], [9, 7])]
    [[False, False], [True, False], [True, True]]
    """

    def __init__(self, endings: Sequence[Sequence[int]], rows: int, device: torch.device | None = None) -> None:
        self._endings = [torch.tensor(list(ending), device=device) for ending in endings]
        longest = max((len(ending) for ending in endings), default=1)
        self._tail = torch.full((rows, longest), -1, device=device)
        self.finished = torch.zeros(rows, dtype=torch.bool, device=device)

    def __call__(self, tokens: Tensor) -> Tensor:
        """Take the next token of each row; say which rows have ended, with it or before."""
        self._tail = torch.cat([self._tail[:, 1:], tokens[:, None]], 1)
        for ending in self._endings:
            self.finished = self.finished | (self._tail[:, -len(ending) :] == ending).all(1)
        return self.finished
