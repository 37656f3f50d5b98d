"""Texts -> token ids and their mask; the same code for training and serving, without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from lamplighter.core.errors import InputError, LamplighterError
from lamplighter.core.registry import FromData
from lamplighter.data.preprocessing import text_statistics
from lamplighter.data.preprocessing.pipeline import Tensors
from lamplighter.data.tokenization.encoding import Encoded, Encoder

TOKENIZER = "tokenizer.json"
"""Name of the asset that holds the tokenizer."""


class Tokenize:
    """Rows with a text -> ``input_ids`` int64 (N, L) and ``attention_mask`` bool (N, L), True for real tokens.

    Rows are filled up on the right to the longest of them. A row is an object with the field, or the text itself. A
    text of white space alone, or without any token, is refused. ``lengths`` (N,) tells how many tokens each text has,
    also where it was cut.

    With ``words`` a row holds a list of words (or a text, which is divided at white space) and more comes out:
    ``word_starts`` bool (N, L), True at the first token of each word, and ``words`` (N,), lists of the words. A
    sentence is never cut then: one that is too long is refused.

    Args:
        field: of the row.
        pad: id that fills up short rows.
        max_length: tokens that are kept, begin and end tokens among them.
        words: whether each word gets an answer of its own.
        specials: whether begin and end tokens are put around a text.
        ignored: further fields that rows may have, such as the target.
        keep_last: whether the end of a text that is too long is kept, not its beginning, as models need that write on.
        output_begin: id of the token that begins what an encoder-decoder model writes; ``decoder_input_ids`` int64
            (N, 1) then holds it.
        assets: of the pipeline, with the tokenizer.

    >>> from lamplighter.data.tokenization.training import train
    >>> own = train(["to be or not to be"], "words", vocab_size=20)
    >>> step = Tokenize("text", pad=0, max_length=8, assets={"tokenizer.json": own})
    >>> step([{"text": "to be"}, "to be or not"])["attention_mask"].astype(int)
    array([[1, 1, 1, 1, 0, 0],
           [1, 1, 1, 1, 1, 1]])
    """

    def __init__(
        self,
        field: str,
        pad: int,
        max_length: Annotated[int, Field(gt=0)],
        words: bool = False,
        specials: bool = True,
        ignored: tuple[str, ...] = (),
        keep_last: bool = False,
        output_begin: int | None = None,
        assets: Annotated[Mapping[str, bytes], FromData] = {},
    ) -> None:
        if TOKENIZER not in assets:
            raise LamplighterError(f"preprocess 'tokenize': the asset '{TOKENIZER}' is missing")
        self.field = field
        self.pad = pad
        self.max_length = max_length
        self.of_words = words
        self.encoder = Encoder(assets[TOKENIZER], max_length, specials, keep_last)
        self.output_begin = output_begin
        self._known = frozenset([field, *ignored])
        self._fewest = len(self.encoder.begin) + len(self.encoder.end)

    def __call__(self, rows: Sequence[Any]) -> Tensors:
        """Tokens of rows.

        Args:
            rows: ``{field: text}`` or texts; with ``words`` also lists of words.

        Raises:
            InputError: names row and field.
        """
        if self.of_words:
            sentences = [self.sentence(row, position) for position, row in enumerate(rows)]
            found = self.encode_sentences(sentences)
            assert found.starts is not None
            tensors = self._tensors(found)
            starts = np.zeros_like(tensors["attention_mask"])
            words = np.empty(len(rows), dtype=object)
            for row, sentence in enumerate(sentences):
                starts[row, found.starts[row]] = True
                words[row] = sentence
            return {**tensors, "word_starts": starts, "words": words}
        return self._tensors(self.encode_texts([self.text(row, position) for position, row in enumerate(rows)]))

    def text(self, row: Any, position: int) -> str:
        """The text of a row.

        Raises:
            InputError: the row has no such field, or it holds something else or nothing.
        """
        value = self._value(row, position)
        if not isinstance(value, str):
            raise InputError(f"expected a text, not {_short(value)}", row=position, field=self.field)
        if not value.strip():
            raise InputError("the text is empty", row=position, field=self.field)
        return value

    def sentence(self, row: Any, position: int) -> list[str]:
        """The words of a row.

        Raises:
            InputError: as `text`, and for a word that is empty or no text.
        """
        value = self._value(row, position)
        if isinstance(value, str):
            value = value.split()
        if not isinstance(value, (list, tuple)):
            raise InputError(f"expected a list of words or a text, not {_short(value)}", row=position, field=self.field)
        for number, word in enumerate(value):
            if not isinstance(word, str) or not word.strip():
                raise InputError(f"word {number} is {_short(word)}, no word", row=position, field=self.field)
        if not value:
            raise InputError("there are no words", row=position, field=self.field)
        return list(value)

    def encode_texts(self, texts: Sequence[str]) -> Encoded:
        """Ids of texts.

        Raises:
            InputError: a text has characters but no token.
        """
        found = self.encoder.texts(texts)
        for position in np.flatnonzero(found.lengths == self._fewest)[:1]:
            raise InputError(
                f"no token is left of the text {_short(texts[position])}", row=int(position), field=self.field
            )
        return found

    def encode_sentences(self, sentences: Sequence[Sequence[str]]) -> Encoded:
        """Ids of sentences.

        Raises:
            InputError: a sentence is longer than ``max_length``, or a word has no token.
        """
        found = self.encoder.words(sentences)
        assert found.starts is not None
        for position in np.flatnonzero(found.lengths > self.max_length)[:1]:
            raise InputError(
                f"the sentence has {found.lengths[position]:,} tokens, this model reads {self.max_length:,}; divide it",
                row=int(position),
                field=self.field,
            )
        for position in np.flatnonzero(found.starts.flat < 0)[:1]:
            row = int(np.searchsorted(found.starts.offsets, position, side="right")) - 1
            word = sentences[row][int(position - found.starts.offsets[row])]
            raise InputError(f"no token is left of the word {_short(word)}", row=row, field=self.field)
        return found

    def statistic_names(self) -> tuple[str, ...]:
        """What `statistics` gives."""
        return text_statistics.NAMES if self.encoder.unknown is None else (*text_statistics.NAMES, "unknown_tokens")

    def statistics(self, rows: Sequence[Any], tensors: Tensors) -> np.ndarray:
        """What the monitor watches of texts: float32 (N, names), see `text_statistics`.

        Args:
            rows: as for ``__call__``.
            tensors: what it made of them.
        """
        texts = [
            " ".join(self.sentence(row, position)) if self.of_words else self.text(row, position)
            for position, row in enumerate(rows)
        ]
        found = [text_statistics.of_texts(texts, tensors["lengths"] - self._fewest)]
        if self.encoder.unknown is not None:
            unknown = (tensors["input_ids"] == self.encoder.unknown) & tensors["attention_mask"]
            real = np.maximum(1, tensors["attention_mask"].sum(axis=1) - self._fewest)
            found.append((unknown.sum(axis=1) / real)[:, None])
        return np.concatenate(found, axis=1).astype(np.float32)

    def _value(self, row: Any, position: int) -> Any:
        if isinstance(row, str) or (self.of_words and isinstance(row, (list, tuple))):
            return row
        if not isinstance(row, Mapping):
            raise InputError(
                f"expected a text or an object with the field {self.field}, not {_short(row)}", row=position
            )
        if self.field not in row:
            raise InputError("the field is missing", row=position, field=self.field)
        strange = next((str(key) for key in row if key not in self._known), None)
        if strange is not None:
            raise InputError(f"unknown field; this model reads '{self.field}'", row=position, field=strange)
        return row[self.field]

    def _tensors(self, found: Encoded) -> Tensors:
        everything = np.arange(len(found.ids))
        tensors = {
            "input_ids": found.ids.padded(everything, fill=self.pad),
            "attention_mask": found.ids.present(everything),
            "lengths": found.lengths,
        }
        if self.output_begin is not None:
            tensors["decoder_input_ids"] = np.full((len(found.ids), 1), self.output_begin, dtype=np.int64)
        return tensors


def _short(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
