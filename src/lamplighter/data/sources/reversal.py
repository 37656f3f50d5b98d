"""Sequences of symbols and the same ones backwards: a task that shows what attention is for."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from lamplighter.core import seeding
from lamplighter.core.errors import DataError
from lamplighter.core.registry import FromData
from lamplighter.data.sources._pairs import Pairs
from lamplighter.data.split_rules import SplitKeys
from lamplighter.data.splits import Splits

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Reversal(Pairs):
    """Random letters, and the same letters in reverse order; generated, nothing is read.

    A decoder without attention has to remember the whole sequence in one vector (Sutskever et al. 2014 reversed their
    sources for that reason); with attention it can look at one place after the other.

    Args:
        rows: how many pairs.
        shortest: symbols of a sequence, at least.
        longest: symbols of a sequence, at most.
        symbols: how many different letters.
        split: shares of train, val and test.
        bucket: batches whose rows are sorted by length together, so that little is filled up; 0: none.
        fitted: written by the run: which tokenizer it was trained with.
        seed: of the sequences and the split.
        splits: a persisted split to use again.

    Raises:
        DataError: ``longest`` is less than ``shortest``.

    >>> source = Reversal(rows=40, shortest=3, longest=3)
    >>> source.raw("test", np.array([0])), source.tokenizer.decode(source.split("test").fetch(np.array([0]))["y"][0])
    ([{'text': 't n r'}], 'r n t')
    """

    def __init__(
        self,
        rows: Annotated[int, Field(ge=30)] = 10_000,
        shortest: Annotated[int, Field(gt=0)] = 20,
        longest: Annotated[int, Field(gt=0)] = 40,
        symbols: Annotated[int, Field(ge=2, le=26)] = 26,
        split: tuple[float, float, float] = (0.8, 0.1, 0.1),
        bucket: Annotated[int, Field(ge=0)] = 32,
        fitted: str | None = None,
        seed: Annotated[int, FromData] = 0,
        splits: Annotated[Splits | None, FromData] = None,
    ) -> None:
        if longest < shortest:
            raise DataError(f"data.longest: {longest} is less than data.shortest, {shortest}")
        # The sequences belong to the data set: another split seed divides the same ones.
        rng = seeding.generator(0, "reversal", rows, shortest, longest, symbols)
        letters = np.array(list(_LETTERS[:symbols]))
        sequences = [letters[rng.integers(symbols, size=rng.integers(shortest, longest + 1))] for _ in range(rows)]
        self.split_keys = SplitKeys(rows)
        splits = splits if splits is not None else self.split_keys.split(split, seed)
        splits.check(rows)
        super().__init__(
            ([" ".join(sequence) for sequence in sequences], [" ".join(sequence[::-1]) for sequence in sequences]),
            ("text", "target"),
            lambda row: f"row {row}",
            splits,
            "words",
            26 + 10,
            None,
            longest + 2,
            bucket,
            fitted,
        )

    def resolved(self) -> dict[str, Any]:
        """The tokenizer's fingerprint."""
        return {"fitted": self._fingerprint}
