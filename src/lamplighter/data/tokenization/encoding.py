"""Turns texts, or words, into token ids and back, with the ids that the ``transformers`` package gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lamplighter.core import extras
from lamplighter.core.errors import DataError
from lamplighter.data.tokenization import special
from lamplighter.data.tokenization.ragged import Ragged


@dataclass(frozen=True)
class Encoded:
    """Token ids of several texts.

    Attributes:
        ids: with begin and end tokens, at most ``max_length`` of them a row.
        lengths: (N,) int64 tokens that each text has, begin and end among them, also where it was cut.
        starts: of words only: place in ``ids`` of the first token of each word, -1 for words behind the cut.
    """

    ids: Ragged
    lengths: np.ndarray
    starts: Ragged | None = None


class Encoder:
    """A tokenizer in use.

    Args:
        asset: bytes of a ``tokenizer.json``.
        max_length: tokens that are kept of a text, begin and end among them; None: all.
        specials: whether the begin and end tokens of the tokenizer are put around a text.
        keep_last: whether the end of a text that is too long is kept, not its beginning; for `texts`.

    Attributes:
        tokenizer: the ``tokenizers.Tokenizer``.
        begin, end: ids put around a text; empty without ``specials``.
        unknown: id of what the vocabulary does not have; None for byte-level tokenizers, which can write everything.

    Raises:
        DataError: the asset is no tokenizer, or ``max_length`` leaves no room for a token of the text.
        MissingExtraError: the package ``tokenizers`` is not installed.

    >>> from lamplighter.data.tokenization.training import train
    >>> encode = Encoder(train(["to be or not to be"], "words", vocab_size=20), max_length=5)
    >>> found = encode.texts(["to be", "to be or not"])
    >>> [encode.decode(row) for row in found.ids], found.lengths.tolist()
    (['to be', 'to be or'], [4, 6])
    """

    def __init__(
        self, asset: bytes, max_length: int | None = None, specials: bool = True, keep_last: bool = False
    ) -> None:
        extras.require("tokenizers")
        from tokenizers import Tokenizer

        try:
            self.tokenizer = Tokenizer.from_buffer(asset)
        except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
            raise DataError(f"not a readable tokenizer.json: {error}") from None
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.begin, self.end = _around(self.tokenizer) if specials else ((), ())
        self.max_length = max_length
        self._keep_last = keep_last
        self._room = None if max_length is None else max_length - len(self.begin) - len(self.end)
        if self._room is not None and self._room < 1:
            raise DataError(f"max_length {max_length}: begin and end tokens leave no room for the text")
        self._lead = " " if special.is_byte_level(self.tokenizer) else ""
        name = None if self._lead else getattr(self.tokenizer.model, "unk_token", None)
        self.unknown: int | None = None if name is None else self.tokenizer.token_to_id(name)

    def texts(self, texts: Sequence[str]) -> Encoded:
        """Ids of texts. A text without any token has only its begin and end."""
        found = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        rows = [encoding.ids for encoding in found]
        around = len(self.begin) + len(self.end)
        return Encoded(
            Ragged.of([[*self.begin, *self._kept(row), *self.end] for row in rows]),
            np.array([len(row) + around for row in rows], dtype=np.int64),
        )

    def _kept(self, row: list[int]) -> list[int]:
        return row[-self._room :] if self._keep_last and self._room is not None else row[: self._room]

    def words(self, sentences: Sequence[Sequence[str]]) -> Encoded:
        """Ids of sentences that are words already; each word is encoded by itself.

        Byte-level tokenizers see a space before each word. A word that leaves no token (a lone control character) is
        the unknown token, where there is one; else it has no place and its start is -1.
        """
        distinct = list(dict.fromkeys(word for sentence in sentences for word in sentence))
        encodings = self.tokenizer.encode_batch_fast([self._lead + word for word in distinct], add_special_tokens=False)
        nothing = [] if self.unknown is None else [self.unknown]
        pieces = {word: encoding.ids or nothing for word, encoding in zip(distinct, encodings)}
        rows, starts, lengths = [], [], []
        for sentence in sentences:
            row: list[int] = list(self.begin)
            own = []
            for word in sentence:
                own.append(len(row) if pieces[word] else -1)
                row += pieces[word]
            last = len(row) if self._room is None else len(self.begin) + self._room
            lengths.append(len(row) + len(self.end))
            rows.append([*row[:last], *self.end])
            starts.append([start if start < last else -1 for start in own])
        return Encoded(Ragged.of(rows), np.array(lengths, dtype=np.int64), Ragged.of(starts))

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """The text of ids, special tokens left out."""
        text: str = self.tokenizer.decode([int(id_) for id_ in ids], skip_special_tokens=True)
        return text


def _around(tokenizer: object) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ids that the tokenizer puts before and after a text."""
    plain = tokenizer.encode("a", add_special_tokens=False)  # type: ignore[attr-defined]
    whole = tokenizer.encode("a", add_special_tokens=True).ids  # type: ignore[attr-defined]
    n = len(plain.ids)
    for start in range(len(whole) - n + 1):
        if whole[start : start + n] == plain.ids and n:
            return tuple(whole[:start]), tuple(whole[start + n :])
    return (), ()
