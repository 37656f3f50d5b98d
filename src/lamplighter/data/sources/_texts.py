"""What the text sources share: the tokenizer, trained on the training split or read from a file, and what follows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from lamplighter.core.errors import DataError, InputError
from lamplighter.core.signature import TensorSpec, Vocabulary
from lamplighter.data.preprocessing.pipeline import Pipeline
from lamplighter.data.preprocessing.text import TOKENIZER, Tokenize
from lamplighter.data.splits import Splits
from lamplighter.data.tokenization import special
from lamplighter.data.tokenization.checkpoint import Found, read_tokenizer
from lamplighter.data.tokenization.encoding import Encoder
from lamplighter.data.tokenization.training import Scheme, train

SCHEMES: tuple[str, ...] = get_args(Scheme)


@dataclass(frozen=True)
class TextFormat:
    """How the texts of a data set become token ids.

    Attributes:
        asset: bytes of the ``tokenizer.json``.
        vocabulary: its size and special ids.
        max_length: tokens of a text at most.
        notes: what was decided, for a person.
        fingerprint: of the tokenizer and the split it was trained on, for the resolved recipe.
    """

    asset: bytes
    vocabulary: Vocabulary
    max_length: int
    notes: tuple[str, ...]
    fingerprint: str

    def pipeline(
        self, field: str, words: bool = False, ignored: Sequence[str] = (), **more: Any
    ) -> tuple[Pipeline, Tokenize]:
        """The preprocessing of rows with a text in ``field``, and its step; ``more`` are further parameters of it."""
        spec: dict[str, Any] = {"name": "tokenize", "field": field, "pad": self.vocabulary.pad}
        spec |= {"max_length": self.max_length, "words": words, "ignored": list(ignored), **more}
        made = Pipeline([spec], {TOKENIZER: self.asset})
        step = made.steps[0]
        assert isinstance(step, Tokenize)
        return made, step

    def fitting(self, max_length: int | None, least: int, sentences: Sequence[Sequence[str]]) -> TextFormat:
        """With room for the longest sentence, when ``max_length`` leaves that to the data."""
        if max_length is not None:
            return self
        longest = int(Encoder(self.asset).words(sentences).lengths.max())
        return replace(self, max_length=max(least, -(-longest // 8) * 8))

    def tensors(self) -> tuple[TensorSpec, TensorSpec]:
        """``input_ids`` and ``attention_mask`` as the network takes them."""
        longest = self.max_length
        return (
            TensorSpec(name="input_ids", dtype="int64", shape=(None,), pad=self.vocabulary.pad, longest=longest),
            TensorSpec(name="attention_mask", dtype="bool", shape=(None,), pad=0, longest=longest),
        )


def decide_format(
    training: Callable[[], Iterable[str]],
    tokenizer: str,
    vocab_size: int,
    lowercase: bool | None,
    max_length: int,
    splits: Splits,
    fitted: str | None = None,
) -> TextFormat:
    """The tokenizer that a recipe asks for.

    Args:
        training: gives the texts of the training split, for a vocabulary of one's own; no others may be among them.
        tokenizer: a scheme of `lamplighter.data.tokenization.training`, or the path of a tokenizer.
        vocab_size: of a vocabulary of one's own, at most.
        lowercase: None: as the scheme, or the file, has it.
        max_length: tokens of a text at most.
        splits: of the data set.
        fitted: what the resolved recipe says of the tokenizer; None: nothing yet.

    Raises:
        DataError: no such tokenizer, or it is no longer the one that ``fitted`` speaks of.
    """
    own = tokenizer in SCHEMES
    found = Found(train(training(), _scheme(tokenizer), vocab_size, lowercase)) if own else _read(tokenizer, lowercase)
    vocabulary = special.vocabulary(Encoder(found.asset).tokenizer, found.named)
    fingerprint = f"{splits.digest[:12]}-{hashlib.sha256(found.asset).hexdigest()[:24]}"
    if fitted is not None and fitted != fingerprint and (not own or fitted[:12] == fingerprint[:12]):
        cause = "the package 'tokenizers' may be another version than then" if own else f"'{tokenizer}' was changed"
        raise DataError(f"data.tokenizer: this is not the tokenizer that the run was trained with: {cause}")
    of = f"trained on the training split ({tokenizer})" if own else f"read from {tokenizer}"
    return TextFormat(
        found.asset, vocabulary, max_length, (f"tokenizer: {vocabulary.size:,} tokens, {of}",), fingerprint
    )


def about_lengths(lengths: np.ndarray, max_length: int) -> str:
    """A line about texts that are cut; empty when none is.

    Args:
        lengths: (N,) tokens of each text before it is cut.
        max_length: tokens that are kept.
    """
    cut = int((lengths > max_length).sum())
    if not cut:
        return ""
    return (
        f"{cut:,} of {len(lengths):,} texts have more than {max_length:,} tokens and are cut there (the longest has "
        f"{lengths.max():,}); data.max_length decides"
    )


def located(error: InputError, where: Callable[[int], str]) -> DataError:
    """An error of preprocessing, at its place in the file."""
    return DataError(f"{where(error.row or 0)}: column '{error.field}': {error.reason}")


def _scheme(name: str) -> Literal["bpe", "wordpiece", "words", "characters"]:
    assert name in SCHEMES
    return name  # type: ignore[return-value]


def _read(tokenizer: str, lowercase: bool | None) -> Found:
    try:
        return read_tokenizer(tokenizer, lowercase)
    except DataError as error:
        raise DataError(f"data.tokenizer: {error}; or train one: {', '.join(SCHEMES)}") from None
