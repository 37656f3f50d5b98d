"""Texts with a class each: a CSV, Parquet or JSON lines file, or a folder of text files for each class."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field

from lamplighter.core.errors import DataError, InputError
from lamplighter.core.registry import FromData
from lamplighter.core.signature import Column, Signature
from lamplighter.data.places import existing
from lamplighter.data.sources._text_folder import read_folder
from lamplighter.data.sources._texts import about_lengths, decide_format, located
from lamplighter.data.split_rules import SplitBy, SplitKeys, SplitOfTable, keys_of_table, report
from lamplighter.data.splits import NAMES, Splits
from lamplighter.data.tables.reading import JoinedTable, TableFile, join, read_table
from lamplighter.data.tables.targets import read_target, require_column
from lamplighter.data.token_rows import TokenRows

_SHARES = (0.8, 0.1, 0.1)


class TextTable:
    """A table with a column of texts and one of classes; or a folder with a sub-folder of text files for each class.

    The vocabulary is learned from the training split alone, or read beside a checkpoint; it travels in the bundle.

    Args:
        path: a CSV, Parquet or JSON lines file, or a folder with a sub-folder for each class; of the training rows
            alone, when ``test`` names another one. ``package:NAME/PATH`` is a file of an installed package.
        text: the column of texts.
        target: the column of classes.
        val: a file of validation rows; null: some of the others are taken.
        test: a file of test rows; null: some of the others are taken.
        tokenizer: bpe, wordpiece, words or characters to train one on the training split; or the path of a
            tokenizer.json, a vocab.txt, a vocab.json beside its merges.txt, or the folder of a checkpoint.
        vocab_size: tokens of a trained tokenizer, at most.
        lowercase: whether a trained tokenizer drops case (wordpiece and words: and accents); null: as is usual, which
            is yes for wordpiece and words.
        max_length: tokens that are kept of a text, begin and end tokens among them.
        bucket: batches whose rows are sorted by length together, so that little is filled up; 0: none.
        delimiter: between the fields of a CSV file.
        encoding: of a CSV file, for instance utf-8 or cp1252.
        missing: texts that mean a missing class, besides an empty field, NA, N/A, #N/A, NaN, null, ? and -.
        drop_blank_targets: leave out rows without a class instead of refusing them.
        drop_blank_texts: leave out rows without a text instead of refusing them.
        split: shares of train, val and test; or how to divide: {by: group, column: user} keeps rows of one value
            together, {by: time, column: date} trains on the past.
        fitted: written by the run: which tokenizer it was trained with.
        seed: of the split.
        splits: a persisted split to use again.

    Attributes:
        notes: what was decided, one line each, for a person.
        split_keys: what divisions of the rows respect.

    Raises:
        DataError: the file or a column cannot be used; says where and what to do.
    """

    def __init__(
        self,
        path: str,
        text: str = "text",
        target: str = "label",
        val: str | None = None,
        test: str | None = None,
        tokenizer: str = "wordpiece",
        vocab_size: Annotated[int, Field(gt=0)] = 8000,
        lowercase: bool | None = None,
        max_length: Annotated[int, Field(gt=2)] = 256,
        bucket: Annotated[int, Field(ge=0)] = 32,
        delimiter: Annotated[str | None, Field(min_length=1, max_length=1)] = None,
        encoding: str | None = None,
        missing: tuple[str, ...] = (),
        drop_blank_targets: bool = False,
        drop_blank_texts: bool = False,
        split: SplitOfTable = _SHARES,
        fitted: str | None = None,
        seed: Annotated[int, FromData] = 0,
        splits: Annotated[Splits | None, FromData] = None,
    ) -> None:
        if text == target:
            raise DataError(f"data: '{text}' is both text and target; name the column of classes in data.target")
        self._how = (delimiter, encoding, missing)
        self._columns = (text, target)
        file = self._read([path, *(other for other in (val, test) if other is not None)])
        file, note = self._with_texts(file, drop_blank_texts)
        goal = read_target(file, target, "category", drop_blank_targets)
        assert isinstance(goal.file, JoinedTable)
        file = goal.file
        self.notes = [*note, *goal.notes]
        rule = split if isinstance(split, SplitBy) else None
        self.split_keys = keys_of_table(file, rule, goal.values, None) if rule else SplitKeys(len(file), goal.values)
        shares = (rule.shares or _SHARES) if rule else split
        assert isinstance(shares, tuple)
        if splits is None:
            splits = self._split(file, shares, seed, val, test, rule)
        self.splits = splits
        self.splits.check(len(file))
        self.notes += [report(self.split_keys, self.splits, rule)] if rule else []
        _check_classes(self.splits, file, target, goal.labels, goal.values)
        self._texts: list[str] = file.columns[text]
        layout = decide_format(
            lambda: (self._texts[row] for row in self.splits.train),
            tokenizer,
            vocab_size,
            lowercase,
            max_length,
            self.splits,
            fitted,
        )
        ignored = [name for name in file.columns if name != text]
        self.preprocessing, step = layout.pipeline(text, ignored=ignored)
        self.signature = Signature(
            inputs=(Column(name=text, kind="text"),),
            tensors=layout.tensors(),
            targets=(Column(name=target, kind="category", categories=goal.labels),),
            vocabulary=layout.vocabulary,
        )
        try:
            encoded = step.encode_texts(self._texts)
        except InputError as error:
            raise located(error, file.where) from None
        self.notes += [*layout.notes, *filter(None, [about_lengths(encoded.lengths, max_length)])]
        self._y = torch.from_numpy(goal.values)
        self._ids = encoded.ids
        self._bucket = bucket
        self._file = dataclasses.replace(file, columns={})  # still names lines; the cells are read
        self._again = (path, val, test, drop_blank_texts, drop_blank_targets)
        self._resolved = {
            "path": path,
            "text": text,
            "target": target,
            "val": val,
            "test": test,
            "tokenizer": tokenizer,
            "vocab_size": vocab_size,
            "lowercase": lowercase,
            "max_length": max_length,
            "bucket": bucket,
            "delimiter": file.dialect.delimiter if file.dialect else None,
            "encoding": file.dialect.encoding if file.dialect else None,
            "missing": list(missing),
            "drop_blank_targets": drop_blank_targets,
            "drop_blank_texts": drop_blank_texts,
            "split": rule.model_dump(mode="json") if rule else list(shares),
            "fitted": layout.fingerprint,
        }

    def split(self, name: str) -> TokenRows:
        """``input_ids`` and ``attention_mask`` (rows, longest), and ``y`` int64 (rows,)."""
        return TokenRows(
            self._ids, self.signature.tensors[0].pad or 0, self.splits[name], {"y": self._y}, bucket=self._bucket
        )

    def raw(self, name: str, indices: np.ndarray) -> list[dict[str, Any]]:
        """Rows as a client would send them."""
        return [{self._columns[0]: self._texts[row]} for row in self.splits[name][indices]]

    def table(self) -> TableFile:
        """The file read again, all its columns, without the rows that were left out."""
        path, val, test, drop_blank_texts, drop_blank_targets = self._again
        file = self._read([path, *(other for other in (val, test) if other is not None)])
        file, _ = self._with_texts(file, drop_blank_texts)
        return read_target(file, self._columns[1], "category", drop_blank_targets).file

    def resolved(self) -> dict[str, Any]:
        """Every parameter with what the file decided."""
        return dict(self._resolved)

    def _read(self, paths: list[str]) -> JoinedTable:
        delimiter, encoding, missing = self._how
        files = [
            read_folder(place, *self._columns, encoding)
            if (place := existing(path, "file or folder")).is_dir()
            else read_table(place, delimiter, encoding, None, missing, verbatim=self._columns[:1])
            for path in paths
        ]
        if len(files) > 1 and any(isinstance(file, JoinedTable) for file in files):
            raise DataError("data.val and data.test go with table files; a folder of texts is divided by 'split'")
        for file in files:
            for name in self._columns:
                require_column(file, name)
        return join(files)

    def _with_texts(self, file: JoinedTable, drop: bool) -> tuple[JoinedTable, list[str]]:
        """The rows that have a text, and a note about the others."""
        name = self._columns[0]
        cells = file.columns[name]
        odd = next((row for row, cell in enumerate(cells) if cell is not None and not isinstance(cell, str)), None)
        if odd is not None:
            raise DataError(f"{file.where(odd)}: column '{name}' holds {cells[odd]!r}, which is no text")
        blank = [row for row, cell in enumerate(cells) if cell is None]
        if not blank:
            return file, []
        if not drop:
            more = f" (and {len(blank) - 1:,} more rows)" if len(blank) > 1 else ""
            raise DataError(
                f"{file.where(blank[0])}: no text in column '{name}'{more}; fill it in, or leave such rows out with "
                "drop_blank_texts: true"
            )
        kept = file.select([row for row, cell in enumerate(cells) if cell is not None])
        return kept, [f"{len(blank):,} of {len(file):,} rows have no '{name}' and are left out"]

    def _split(
        self,
        file: TableFile,
        shares: tuple[float, float, float],
        seed: int,
        val: str | None,
        test: str | None,
        rule: SplitBy | None,
    ) -> Splits:
        if val is None and test is None:
            return self.split_keys.split(shares, seed)
        if rule is not None:
            raise DataError("data.split: rows cannot be divided by a column when val or test is a file of its own")
        assert isinstance(file, JoinedTable)
        parts = np.asarray(file.parts)
        of_file = {name: np.flatnonzero(parts == number) for number, name in enumerate(_names(val, test))}
        rest = of_file.pop("train")
        missing = [name for name in NAMES if name == "train" or name not in of_file]
        weights = [shares[NAMES.index(name)] for name in missing]
        chosen = [share / sum(weights) for share in weights]
        found = self.split_keys.cut(chosen, seed, missing, rest) if len(missing) > 1 else [rest]
        return Splits(**dict(zip(missing, found)), **of_file)


def _names(val: str | None, test: str | None) -> list[Literal["train", "val", "test"]]:
    names: list[Literal["train", "val", "test"]] = ["train"]
    return [*names, *(["val"] if val is not None else []), *(["test"] if test is not None else [])]  # type: ignore[list-item]


def _check_classes(splits: Splits, file: TableFile, target: str, labels: tuple[str, ...], y: np.ndarray) -> None:
    absent = set(range(len(labels))) - set(y[splits.train].tolist())
    if absent:
        raise DataError(
            f"{file.path}: no row of class '{labels[min(absent)]}' of '{target}' is in the training split; it needs "
            "more rows"
        )
