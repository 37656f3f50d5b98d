"""Bytes of tokens add up to the bytes of the text; words begin where they begin."""

from __future__ import annotations

import pydoc_data.topics

import numpy as np
import pytest
from tokenizers import Tokenizer

from lamplighter.core.signature import Vocabulary
from lamplighter.data.tokenization.pieces import begins_word, meanings, size, special_ids, token_bytes
from lamplighter.data.tokenization.training import Scheme, train

TEXT = " ".join(text for _, text in sorted(pydoc_data.topics.topics.items())[:4]) + " Größe — naïve"


@pytest.mark.parametrize("scheme", ["bpe", "characters"])
def test_bytes_of_the_tokens_are_those_of_the_text(scheme: Scheme) -> None:
    own = Tokenizer.from_buffer(train([TEXT], scheme, vocab_size=600))
    sizes = token_bytes(own)
    assert sizes is not None and len(sizes) == size(own)
    ids = own.encode(TEXT).ids  # with begin and end tokens, which are no text
    assert sizes[ids].sum() == len(TEXT.encode())


@pytest.mark.parametrize(("scheme", "lowercase"), [("wordpiece", None), ("words", None), ("bpe", True)])
def test_tokenizers_that_forget_something_do_not_tell(scheme: Scheme, lowercase: bool | None) -> None:
    assert token_bytes(Tokenizer.from_buffer(train([TEXT], scheme, 900, lowercase))) is None


@pytest.mark.parametrize("scheme", ["bpe", "wordpiece"])
def test_as_many_beginnings_as_words(scheme: Scheme) -> None:
    own = Tokenizer.from_buffer(train([TEXT], scheme, vocab_size=500))
    words = "unbelievably many interesting words without signs"
    ids = own.encode(words, add_special_tokens=False).ids
    starts = begins_word(own)[ids]
    assert len(ids) > 6 and starts[1:].sum() == 5  # the first may have no space before it


def test_special_tokens_and_their_roles() -> None:
    own = Tokenizer.from_buffer(train([TEXT], "wordpiece", vocab_size=500))
    assert special_ids(own) == [0, 1, 2, 3, 4] and begins_word(own)[:5].all()
    assert meanings(Vocabulary(size=9, pad=0, bos=2, eos=2, mask=7)) == [0, 2, 7]
    assert np.issubdtype(begins_word(own).dtype, np.bool_)
