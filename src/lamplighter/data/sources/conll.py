"""Sentences whose words have tags: CoNLL column files, or JSON lines."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from lamplighter.core.errors import DataError, InputError
from lamplighter.core.registry import FromData
from lamplighter.core.signature import Column, Signature
from lamplighter.data.places import existing
from lamplighter.data.sources._texts import decide_format, located
from lamplighter.data.split_rules import SplitKeys
from lamplighter.data.splits import NAMES, Splits
from lamplighter.data.tables.tagged import Tagged, check_scheme, read_tagged
from lamplighter.data.token_rows import TokenRows
from lamplighter.data.tokenization.ragged import Ragged

_LEAST = 128


class Conll:
    """Sentences as lists of words with one tag each; a sentence is never divided among splits.

    CoNLL files have one word a line, its tag in another column, and a blank line after each sentence; lines that begin
    with ``# `` or ``-DOCSTART-`` are left out. JSON lines (``.jsonl``) have an object with two lists a line. A word of
    several tokens bears its tag on the first.

    Args:
        path: the file; of the training sentences alone, when ``test`` names another one. ``package:NAME/PATH`` is a
            file of an installed package.
        words: column of the words, counted from 0 (negative: from the end); of JSON lines the name of the list.
        tags: column of the tags, or name of the list.
        val: a file of validation sentences; null: some of the others are taken.
        test: a file of test sentences; null: some of the others are taken.
        scheme: bio and iobes refuse sequences of tags that these forbid; auto: bio when the tags look like it; none:
            any tags, such as parts of speech.
        mend: let a wrong I- (or E-) begin an entity instead of refusing it; the tags are rewritten.
        tokenizer: wordpiece, bpe, words or characters to train one on the training split; or the path of one.
        vocab_size: tokens of a trained tokenizer, at most.
        lowercase: whether a trained tokenizer drops case; null: no, since names are told by it.
        max_length: tokens of a sentence at most, begin and end tokens among them; longer ones are refused; null: 128,
            or more when the longest sentence has more.
        bucket: batches whose rows are sorted by length together; 0: none.
        encoding: of the file.
        split: shares of train, val and test.
        fitted: written by the run: which tokenizer it was trained with.
        seed: of the split.
        splits: a persisted split to use again.

    Attributes:
        notes: what was decided, one line each, for a person.
        split_keys: what divisions of the sentences respect.

    Raises:
        DataError: a file cannot be used; says where and what to do.
    """

    def __init__(
        self,
        path: str,
        words: int | str = 0,
        tags: int | str = -1,
        val: str | None = None,
        test: str | None = None,
        scheme: Literal["auto", "bio", "iobes", "none"] = "auto",
        mend: bool = False,
        tokenizer: str = "wordpiece",
        vocab_size: Annotated[int, Field(gt=0)] = 8000,
        lowercase: bool | None = None,
        max_length: Annotated[int | None, Field(gt=2)] = None,
        bucket: Annotated[int, Field(ge=0)] = 32,
        encoding: str = "utf-8",
        split: tuple[float, float, float] = (0.8, 0.1, 0.1),
        fitted: str | None = None,
        seed: Annotated[int, FromData] = 0,
        splits: Annotated[Splits | None, FromData] = None,
    ) -> None:
        parts = {"train": path, **({"val": val} if val else {}), **({"test": test} if test else {})}
        read = {name: read_tagged(existing(place), words, tags, encoding) for name, place in parts.items()}
        sentences = [sentence for part in read.values() for sentence in part]
        found, mended = check_scheme(sentences, scheme, mend)
        self.notes = [f"{mended:,} tags began no entity and were mended"] if mended else []
        labels = _labels(sentences)
        self._sentences = sentences
        self.split_keys = SplitKeys(len(sentences))
        self.splits = splits if splits is not None else self._split({n: len(p) for n, p in read.items()}, split, seed)
        self.splits.check(len(sentences))
        self._check_labels(labels)
        layout = decide_format(
            lambda: (" ".join(sentences[row].words) for row in self.splits.train),
            tokenizer,
            vocab_size,
            False if lowercase is None and tokenizer in ("wordpiece", "words") else lowercase,
            max_length or _LEAST,
            self.splits,
            fitted,
        )
        layout = layout.fitting(max_length, _LEAST, [sentence.words for sentence in sentences])
        self.preprocessing, step = layout.pipeline("words", words=True)
        self.signature = Signature(
            inputs=(Column(name="words", kind="text"),),
            tensors=layout.tensors(),
            targets=(Column(name="tags", kind="tags", categories=labels),),
            vocabulary=layout.vocabulary,
        )
        try:
            encoded = step.encode_sentences([sentence.words for sentence in sentences])
        except InputError as error:
            hint = "; or set data.max_length higher" if "divide it" in error.reason else ""
            raise DataError(f"{located(error, lambda row: sentences[row].where)}{hint}") from None
        self.notes += layout.notes
        self._ids = encoded.ids
        assert encoded.starts is not None
        self._y = _aligned(encoded.ids, encoded.starts, sentences, labels)
        self._bucket = bucket
        self._resolved = {
            "path": path,
            "words": words,
            "tags": tags,
            "val": val,
            "test": test,
            "scheme": found,
            "mend": mend,
            "tokenizer": tokenizer,
            "vocab_size": vocab_size,
            "lowercase": lowercase,
            "max_length": layout.max_length,
            "bucket": bucket,
            "encoding": encoding,
            "split": list(split),
            "fitted": layout.fingerprint,
        }

    def split(self, name: str) -> TokenRows:
        """``input_ids``, ``attention_mask`` and ``y`` (rows, longest); -1 where no word begins."""
        pad = self.signature.tensors[0].pad or 0
        return TokenRows(self._ids, pad, self.splits[name], ragged={"y": self._y}, bucket=self._bucket)

    def raw(self, name: str, indices: np.ndarray) -> list[dict[str, Any]]:
        """Rows as a client would send them."""
        return [{"words": list(self._sentences[row].words)} for row in self.splits[name][indices]]

    def resolved(self) -> dict[str, Any]:
        """Every parameter with what the file decided."""
        return dict(self._resolved)

    def _split(self, sizes: dict[str, int], shares: tuple[float, float, float], seed: int) -> Splits:
        if len(sizes) == 1:
            return self.split_keys.split(shares, seed)
        ends = dict(zip(sizes, np.cumsum(list(sizes.values()))))
        given = {name: np.arange(ends[name] - size, ends[name]) for name, size in sizes.items()}
        missing = ["train", *(name for name in NAMES[1:] if name not in given)]
        weights = [shares[NAMES.index(name)] for name in missing]
        parts = self.split_keys.cut([w / sum(weights) for w in weights], seed, missing, given.pop("train"))
        return Splits(**dict(zip(missing, parts)), **given)

    def _check_labels(self, labels: tuple[str, ...]) -> None:
        trained = {tag for row in self.splits.train for tag in self._sentences[row].tags}
        absent = next((label for label in labels if label not in trained), None)
        if absent is not None:
            where = next(sentence.where for sentence in self._sentences if absent in sentence.tags)
            raise DataError(
                f"{where}: the tag '{absent}' is in no sentence of the training split; it needs more sentences, or "
                "another split (data.split_seed)"
            )


def _labels(sentences: list[Tagged]) -> tuple[str, ...]:
    """``O`` first, then by type and prefix."""
    found = {tag for sentence in sentences for tag in sentence.tags}
    if len(found) < 2:
        raise DataError(
            f"{sentences[0].where}: all words have the tag '{next(iter(found))}'; there is nothing to learn"
        )
    return tuple(sorted(found, key=lambda tag: (tag != "O", tag.partition("-")[2], tag)))


def _aligned(ids: Ragged, starts: Ragged, sentences: list[Tagged], labels: tuple[str, ...]) -> Ragged:
    """Tags at the first token of each word, -1 elsewhere; lengths as in ``ids``."""
    codes = {label: code for code, label in enumerate(labels)}
    flat = np.full(len(ids.flat), -1, np.int32)
    for row, sentence in enumerate(sentences):
        flat[ids.offsets[row] + starts[row]] = [codes[tag] for tag in sentence.tags]
    return Ragged(flat, ids.offsets)
