"""Which ids have a meaning: as the checkpoint says, else by the usual names, with something to pad with in any case."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from lamplighter.core.signature import Vocabulary
from lamplighter.data.tokenization.special import is_byte_level, vocabulary
from lamplighter.data.tokenization.training import train

WORDPIECE = Vocabulary(size=8, pad=0, unk=1, bos=2, eos=3, cls=2, sep=3, mask=4)
ANGLED = Vocabulary(size=8, pad=0, unk=1, bos=2, eos=3, cls=2, sep=3, mask=4)


@pytest.mark.parametrize(("scheme", "unk"), [("wordpiece", 1), ("words", 1), ("characters", 1), ("bpe", None)])
def test_of_our_own(scheme: Any, unk: int | None) -> None:
    found = vocabulary(Tokenizer.from_buffer(train(["a b c"], scheme, 300)))
    assert (found.pad, found.unk, found.bos, found.eos, found.mask) == (0, unk, 2, 3, 4)
    assert (found.cls, found.sep) == (2, 3)


def test_gpt2_pads_with_its_end() -> None:
    tokens = {byte: id_ for id_, byte in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE({**tokens, "<|endoftext|>": 256}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    found = vocabulary(tokenizer)
    assert found == Vocabulary(size=257, pad=256, bos=256, eos=256)
    assert is_byte_level(tokenizer)


def test_what_the_checkpoint_says_comes_first() -> None:
    tokenizer = Tokenizer.from_buffer(train(["a b c"], "words", 20))
    found = vocabulary(tokenizer, {"pad": "b", "eos": "<mask>", "cls": "no such token"})
    assert found.pad == tokenizer.token_to_id("b") and found.eos == 4 and found.cls is None


def test_gaps_between_ids_count() -> None:
    assert vocabulary(Tokenizer(models.WordLevel({"a": 0, "b": 9}, unk_token="a"))).size == 10


def test_without_anything_id_0_fills_up() -> None:
    assert vocabulary(Tokenizer(models.WordLevel({"a": 3, "b": 9}, unk_token="a"))).pad == 0
