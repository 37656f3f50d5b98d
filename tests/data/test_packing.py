"""Rows are full, none is too long, and together they are the text."""

from __future__ import annotations

import pydoc_data.topics
from collections.abc import Sequence

import pytest

from lamplighter.core.errors import DataError
from lamplighter.data.packing import pack
from lamplighter.data.tokenization.encoding import Encoder
from lamplighter.data.tokenization.training import Scheme, train

TEXTS = [text for _, text in sorted(pydoc_data.topics.topics.items())][:12]


@pytest.mark.parametrize("scheme", ["bpe", "wordpiece", "characters"])
def test_real_texts_are_packed_whole_and_tight(scheme: Scheme) -> None:
    encode = Encoder(train(TEXTS, scheme, vocab_size=600), specials=False)

    def count(texts: Sequence[str]) -> list[int]:
        return encode.texts(texts).lengths.tolist()

    rows = pack([TEXTS], count, room=40)
    sizes = count(rows)
    assert max(sizes) <= 40
    assert "".join("".join(rows).split()) == "".join("".join(TEXTS).split())
    if scheme != "characters":  # whose words are long
        assert sum(sizes) > 0.9 * 40 * len(rows)


def test_a_row_goes_on_with_the_next_text_of_its_group_only() -> None:
    words = lambda texts: [len(text.split()) for text in texts]  # noqa: E731
    assert pack([["a b c", " d e"], ["f"]], words, room=4) == ["a b c d", " e", "f"]


def test_a_word_that_is_too_long_is_cut_inside() -> None:
    letters = lambda texts: [len(text) for text in texts]  # noqa: E731
    assert pack([["abcdefghij"]], letters, room=4) == ["abc", "de", "fgh", "ij"]


def test_tokens_that_do_not_add_up_still_fit() -> None:
    more = lambda texts: [len(text.split()) ** 2 for text in texts]  # noqa: E731
    rows = pack([["a b c d e f g h"]], more, room=9)
    assert max(more(rows)) <= 9 and "".join(rows) == "a b c d e f g h"


def test_a_character_that_never_fits_is_named() -> None:
    with pytest.raises(DataError, match="'x' has more than 2 tokens"):
        pack([["x"]], lambda texts: [3 for _ in texts], room=2)
