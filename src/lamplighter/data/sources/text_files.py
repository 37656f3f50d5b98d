"""Text files, packed into rows of tokens: what language models and masked language models learn from."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from lamplighter.core.errors import DataError
from lamplighter.core.registry import FromData
from lamplighter.core.signature import Column, Signature
from lamplighter.data.documents import divide, passages, read_documents, units_of
from lamplighter.data.packing import pack_passages
from lamplighter.data.sources._texts import decide_format
from lamplighter.data.split_rules import SplitKeys
from lamplighter.data.splits import NAMES, Splits
from lamplighter.data.token_rows import TokenRows
from lamplighter.data.tokenization.encoding import Encoder
from lamplighter.data.tokenization.ragged import Ragged
from lamplighter.data.tokenization.template import Around, put_around

_FIELD = "text"


class TextFiles:
    """Texts without labels. Each row is a stretch of text of as many whole words as make ``length`` tokens.

    Batches hold ``input_ids`` (N, L), ``attention_mask`` (N, L) and ``y`` (N, L), the token that follows each, -1 at
    the end of a row. What ``splits`` divides are not rows but units: whole documents, or blocks of them; rows are
    packed from the units of one split, so no passage is in two. With ``around: begin`` the end token stands behind each
    document, and a row may hold the end of one and the beginning of the next.

    Args:
        path: a text file, or a folder; paths in it are looked through in alphabetical order.
        files: which files of a folder are texts, by a pattern of their names.
        encoding: of the files.
        tokenizer: bpe, wordpiece, words or characters: a vocabulary of one's own, learned on the training split; or the
            path of a tokenizer.json, a vocab.txt, a vocab.json beside its merges.txt, or the folder of a checkpoint.
        vocab_size: tokens of a vocabulary of one's own, at most.
        lowercase: whether a vocabulary of one's own drops case (wordpiece and words: and accents); null: as is usual,
            which is yes for wordpiece and words.
        length: tokens of a row, those put around it among them.
        around: begin puts the begin token before each row, for language models; both puts begin and end tokens around
            it, for masked ones; none puts nothing.
        join: whether a row goes on with the next document where one ends.
        split: shares of the text for train, val and test.
        split_by: document keeps each file in one split, block divides inside of files, too; auto is document where
            there are at least 20 files.
        fitted: written by the run: which tokenizer it was trained with.
        seed: of the split.
        splits: persisted units of each split to use again.

    Attributes:
        packed: what ``splits`` divides are units, not rows.
        notes: what was decided, one line each, for a person.
        split_keys: how many units there are.
        tokenizer: turns texts into ids and back.

    Raises:
        DataError: no file, no text, or a split is too short for a row.
    """

    packed = True

    def __init__(
        self,
        path: str,
        files: str = "*.txt",
        encoding: str = "utf-8",
        tokenizer: str = "bpe",
        vocab_size: Annotated[int, Field(gt=0)] = 8000,
        lowercase: bool | None = None,
        length: Annotated[int, Field(ge=4)] = 128,
        around: Around = "begin",
        join: bool = True,
        split: tuple[float, float, float] = (0.8, 0.1, 0.1),
        split_by: Literal["auto", "document", "block"] = "auto",
        fitted: str | None = None,
        seed: Annotated[int, FromData] = 0,
        splits: Annotated[Splits | None, FromData] = None,
    ) -> None:
        paths, documents = read_documents(path, files, encoding)
        units = units_of(documents, split_by)
        self.split_keys = SplitKeys(len(units))
        self.splits = splits if splits is not None else Splits(*divide(units, split, seed))
        self.splits.check(len(units))
        parts = {name: passages(units, self.splits[name]) for name in NAMES}
        layout = decide_format(lambda: parts["train"][0], tokenizer, vocab_size, lowercase, length, self.splits, fitted)
        layout = dataclasses.replace(layout, asset=put_around(layout.asset, layout.vocabulary, around))
        self.tokenizer = Encoder(layout.asset)
        ends = layout.vocabulary.eos if around == "begin" else None
        end = "" if ends is None else str(self.tokenizer.tokenizer.id_to_token(ends))
        room = length - len(self.tokenizer.begin) - len(self.tokenizer.end)
        self._texts = {name: pack_passages(*parts[name], self.tokenizer, room, end, join) for name in NAMES}
        short = next((name for name in NAMES if not self._texts[name]), None)
        if short is not None:
            raise DataError(f"{path}: the {short} split has no text; use more files, or other shares (data.split)")
        self.preprocessing, step = layout.pipeline(_FIELD, keep_last=around == "begin")
        self._ids = {name: step.encode_texts(texts).ids for name, texts in self._texts.items()}
        self.signature = Signature(
            inputs=(Column(name=_FIELD, kind="text"),),
            tensors=layout.tensors(),
            targets=(Column(name="next token", kind="tokens"),),
            vocabulary=layout.vocabulary,
        )
        size = sum(len(text.encode()) for text in documents)
        tokens = sum(int(ids.lengths.sum()) for ids in self._ids.values())
        rows = {name: len(texts) for name, texts in self._texts.items()}
        self.notes = [
            f"{len(paths):,} {'file' if len(paths) == 1 else 'files'}, {size / 1e6:.2f} MB of text, "
            f"{size / tokens:.2f} bytes a token",
            *layout.notes,
            f"rows of at most {length:,} tokens: " + ", ".join(f"{name} {count:,}" for name, count in rows.items()),
        ]
        self._resolved = {"vocab_size": vocab_size, "lowercase": lowercase, "fitted": layout.fingerprint}

    def split(self, name: str) -> TokenRows:
        """``input_ids``, ``attention_mask`` and ``y``, (rows, longest) each."""
        ids = self._ids[name]
        following = Ragged.of([np.append(row[1:], -1) for row in ids])
        return TokenRows(ids, self.signature.tensors[0].pad or 0, ragged={"y": following})

    def raw(self, name: str, indices: np.ndarray) -> list[dict[str, Any]]:
        """Rows as a client would send them."""
        return [{_FIELD: self._texts[name][index]} for index in indices]

    def resolved(self) -> dict[str, Any]:
        """The tokenizer's fingerprint beside what was asked for."""
        return dict(self._resolved)
