"""Pairs of texts in memory: a source and the target to be written."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from lamplighter.core.errors import DataError, InputError
from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.data.sources._texts import about_lengths, decide_format, located
from lamplighter.data.splits import NAMES, Splits
from lamplighter.data.token_rows import TokenRows
from lamplighter.data.tokenization.encoding import Encoder
from lamplighter.data.tokenization.ragged import Ragged


class Pairs:
    """Base of the sources that hold pairs.

    Batches hold ``input_ids``, ``attention_mask`` (N, L), ``decoder_input_ids`` (N, 1), which is the begin token, and
    ``y`` (N, T): the target's tokens with the end token, -1 behind. Both texts share one vocabulary, learned from both
    of the training split.

    Args:
        texts: sources and targets, row by row.
        names: of the two columns.
        where: place of a row, for errors.
        splits: rows of each split.
        tokenizer, vocab_size, lowercase, fitted: see `lamplighter.data.sources._texts.decide_format`.
        max_length: tokens that are kept of a source.
        bucket: see `lamplighter.data.token_rows.TokenRows`.

    Attributes:
        notes: what was decided, one line each, for a person.
        tokenizer: turns texts into ids and back.
    """

    def __init__(
        self,
        texts: tuple[list[str], list[str]],
        names: tuple[str, str],
        where: Callable[[int], str],
        splits: Splits,
        tokenizer: str,
        vocab_size: int,
        lowercase: bool | None,
        max_length: int,
        bucket: int,
        fitted: str | None,
    ) -> None:
        self.splits = splits
        self._texts, self._names, self._bucket = texts, names, bucket
        layout = decide_format(
            lambda: (side[row] for row in splits.train for side in texts),
            tokenizer,
            vocab_size,
            lowercase,
            max_length,
            splits,
            fitted,
        )
        vocabulary = layout.vocabulary
        if vocabulary.bos is None or vocabulary.eos is None:
            raise DataError(f"data.tokenizer: '{tokenizer}' has no tokens that begin and end a text; train one: bpe")
        self.tokenizer = Encoder(layout.asset)
        self.preprocessing, step = layout.pipeline(names[0], ignored=names[1:], output_begin=vocabulary.bos)
        try:
            encoded = step.encode_texts(texts[0])
        except InputError as error:
            raise located(error, where) from None
        self._ids = encoded.ids
        self._y = self._targets(layout.asset, texts[1], vocabulary.eos)
        longest = math.ceil(1.5 * int(self._y.lengths.max()))
        begin = TensorSpec(
            name="decoder_input_ids", dtype="int64", shape=(None,), pad=vocabulary.pad, longest=longest, group="decoder"
        )
        self.signature = Signature(
            inputs=(Column(name=names[0], kind="text"),),
            tensors=(*layout.tensors(), begin),
            targets=(Column(name=names[1], kind="text"),),
            vocabulary=vocabulary,
        )
        rows = ", ".join(f"{name} {len(splits[name]):,}" for name in NAMES)
        self.notes = [
            f"pairs of texts: {rows}; the longest target has {int(self._y.lengths.max()):,} tokens, "
            f"{longest:,} are written at most",
            *layout.notes,
            *filter(None, [about_lengths(encoded.lengths, max_length)]),
        ]
        self._fingerprint = layout.fingerprint

    def split(self, name: str) -> TokenRows:
        """``input_ids``, ``attention_mask``, ``decoder_input_ids`` and ``y``."""
        vocabulary = self.signature.vocabulary
        assert vocabulary is not None and vocabulary.bos is not None
        begin = torch.full((len(self._ids), 1), vocabulary.bos, dtype=torch.int64)
        return TokenRows(
            self._ids,
            vocabulary.pad,
            self.splits[name],
            dense={"decoder_input_ids": begin},
            ragged={"y": self._y},
            bucket=self._bucket,
        )

    def raw(self, name: str, indices: np.ndarray) -> list[dict[str, Any]]:
        """Rows as a client would send them."""
        return [{self._names[0]: self._texts[0][row]} for row in self.splits[name][indices]]

    @staticmethod
    def _targets(asset: bytes, texts: list[str], end: int) -> Ragged:
        found = Encoder(asset, specials=False).texts(texts).ids
        return Ragged.of([np.append(row, end) for row in found])
