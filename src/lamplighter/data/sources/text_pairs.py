"""Pairs of texts in a CSV, Parquet or JSON lines file: one is read, the other is to be written."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from lamplighter.core.errors import DataError
from lamplighter.core.registry import FromData
from lamplighter.data.places import existing
from lamplighter.data.sources._pairs import Pairs
from lamplighter.data.split_rules import SplitBy, SplitKeys, SplitOfTable, keys_of_table, report
from lamplighter.data.splits import Splits
from lamplighter.data.tables.reading import read_table
from lamplighter.data.tables.targets import require_column

_SHARES = (0.8, 0.1, 0.1)


class TextPairs(Pairs):
    """A table with a column of texts that are read and one of texts to be written, for instance translations.

    Args:
        path: a CSV, Parquet or JSON lines file.
        text: the column that is read.
        target: the column to be written.
        tokenizer: bpe, wordpiece, words or characters to train one on both columns of the training split; or the path
            of a tokenizer, see text-table.
        vocab_size: tokens of a trained tokenizer, at most.
        lowercase: whether a trained tokenizer drops case (wordpiece and words: and accents); null: as is usual, which
            is yes for wordpiece and words.
        max_length: tokens that are kept of a text that is read, begin and end tokens among them.
        bucket: batches whose rows are sorted by length together, so that little is filled up; 0: none.
        delimiter: between the fields of a CSV file.
        encoding: of a CSV file, for instance utf-8 or cp1252.
        split: shares of train, val and test; or how to divide: {by: group, column: user} keeps rows of one value
            together, {by: time, column: date} trains on the past.
        fitted: written by the run: which tokenizer it was trained with.
        seed: of the split.
        splits: a persisted split to use again.

    Attributes:
        split_keys: what divisions of the rows respect.

    Raises:
        DataError: the file or a column cannot be used; says where and what to do.
    """

    def __init__(
        self,
        path: str,
        text: str = "text",
        target: str = "target",
        tokenizer: str = "bpe",
        vocab_size: Annotated[int, Field(gt=0)] = 8000,
        lowercase: bool | None = None,
        max_length: Annotated[int, Field(gt=2)] = 128,
        bucket: Annotated[int, Field(ge=0)] = 32,
        delimiter: Annotated[str | None, Field(min_length=1, max_length=1)] = None,
        encoding: str | None = None,
        split: SplitOfTable = _SHARES,
        fitted: str | None = None,
        seed: Annotated[int, FromData] = 0,
        splits: Annotated[Splits | None, FromData] = None,
    ) -> None:
        if text == target:
            raise DataError(f"data: '{text}' is both read and written; name another column in data.target")
        file = read_table(existing(path), delimiter, encoding, None, (), verbatim=(text, target))
        for name in (text, target):
            require_column(file, name)
            for row, cell in enumerate(file.columns[name]):
                if not isinstance(cell, str) or not cell.strip():
                    raise DataError(f"{file.where(row)}: no text in column '{name}'; fill it in, or remove the row")
        rule = split if isinstance(split, SplitBy) else None
        self.split_keys = keys_of_table(file, rule, None, None) if rule else SplitKeys(len(file))
        shares = (rule.shares or _SHARES) if rule else split
        assert isinstance(shares, tuple)
        splits = splits if splits is not None else self.split_keys.split(shares, seed)
        splits.check(len(file))
        super().__init__(
            (file.columns[text], file.columns[target]),
            (text, target),
            file.where,
            splits,
            tokenizer,
            vocab_size,
            lowercase,
            max_length,
            bucket,
            fitted,
        )
        self.notes += [report(self.split_keys, splits, rule)] if rule else []
        dialect = file.dialect
        self._resolved = {
            "delimiter": dialect.delimiter if dialect else None,
            "encoding": dialect.encoding if dialect else None,
            "fitted": self._fingerprint,
        }

    def resolved(self) -> dict[str, Any]:
        """What the file decided, and the tokenizer's fingerprint."""
        return dict(self._resolved)
