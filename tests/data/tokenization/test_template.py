"""Other tokens around a text, and no others."""

from __future__ import annotations

import pytest

from lamplighter.core.errors import DataError
from lamplighter.core.signature import Vocabulary
from lamplighter.data.tokenization.encoding import Encoder
from lamplighter.data.tokenization.template import put_around
from lamplighter.data.tokenization.training import train

OWN = train(["to be or not to be"], "words", vocab_size=20)


def test_an_end_token_may_begin_a_text_as_in_gpt2() -> None:
    found = Encoder(put_around(OWN, Vocabulary(size=9, pad=0, eos=3), "begin"))
    assert (found.begin, found.end) == ((3,), ())


def test_encoders_have_their_own_pair() -> None:
    found = Encoder(put_around(OWN, Vocabulary(size=9, pad=0, bos=4, eos=4, cls=2, sep=3), "both"))
    assert (found.begin, found.end) == ((2,), (3,))


def test_a_tokenizer_without_such_tokens_is_refused() -> None:
    with pytest.raises(DataError, match="begins a text"):
        put_around(OWN, Vocabulary(size=9, pad=0), "begin")
    with pytest.raises(DataError, match="ends a text"):
        put_around(OWN, Vocabulary(size=9, pad=0, bos=2), "both")
