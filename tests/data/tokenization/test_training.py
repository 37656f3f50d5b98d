"""A vocabulary of one's own: the same in every process, from the given texts alone, as large as asked for."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter

import pytest
from tokenizers import Tokenizer

from lamplighter.core.errors import DataError
from lamplighter.data.tokenization.training import ANGLES, BRACKETS, Scheme, train

TEXTS = [
    "The lamp burns low; a lower lamp burns lowest, and the lamplighter lights the lamps.",
    "Die Lampe brennt. Größere Lampen brennen heller! Ein Lampenanzünder zündet sie an.",
    "Фонарь горит, фонарщик зажигает фонари. 灯亮着。 🙂🙂 café naïve",
] * 4


def vocabulary(asset: bytes) -> dict[str, int]:
    found: dict[str, int] = json.loads(asset)["model"]["vocab"]
    return found


_CODE = """
import hashlib, sys, json
from lamplighter.data.tokenization.training import train
texts = json.loads(sys.stdin.read())
print(json.dumps({scheme: hashlib.sha256(train(texts, scheme, 400)).hexdigest() for scheme in sys.argv[1:]}))
"""


def test_every_process_learns_the_same() -> None:
    """Hash tables of the library are ordered anew in every process; vocabularies may not be."""
    schemes = ["bpe", "wordpiece", "words", "characters"]
    own = {scheme: hashlib.sha256(train(TEXTS, scheme, 400)).hexdigest() for scheme in schemes}  # type: ignore[arg-type]
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", _CODE, *schemes],
            input=json.dumps(TEXTS),
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout) == own


@pytest.mark.parametrize("scheme", ["bpe", "wordpiece", "words", "characters"])
def test_special_tokens_come_first_and_the_size_is_kept(scheme: Scheme) -> None:
    found = vocabulary(train(TEXTS, scheme, vocab_size=300))
    specials = BRACKETS if scheme == "wordpiece" else ANGLES
    assert [found[token] for token in specials] == [0, 1, 2, 3, 4]
    assert len(found) <= 300
    assert sorted(found.values()) == list(range(len(found)))
    assert len(vocabulary(train(TEXTS, "words", vocab_size=20))) == 20


def test_bytes_write_every_text_and_come_back() -> None:
    tokenizer = Tokenizer.from_buffer(train(TEXTS, "bpe", 400))
    for text in ("кошка \t\n  猫 👩‍👩‍👧🏽", "  leading and trailing  ", "\x00\x7f", "lamp lamps"):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert 1 not in ids
        assert tokenizer.decode(ids) == text


def test_frequent_words_are_one_token() -> None:
    tokenizer = Tokenizer.from_buffer(train(TEXTS, "wordpiece", 400))
    assert tokenizer.encode("the LAMP", add_special_tokens=False).tokens == ["the", "lamp"]
    assert tokenizer.encode("lampst", add_special_tokens=False).tokens == ["lamps", "##t"]
    assert tokenizer.encode("lampx", add_special_tokens=False).tokens == ["[UNK]"]
    assert tokenizer.encode("the lamp").tokens == ["[CLS]", "the", "lamp", "[SEP]"]


def test_case_and_accents() -> None:
    lower = Tokenizer.from_buffer(train(TEXTS, "words", 400))
    kept = Tokenizer.from_buffer(train(TEXTS, "words", 400, lowercase=False))
    assert lower.encode("LAMPE größere", add_special_tokens=False).tokens == ["lampe", "großere"]
    assert kept.encode("Lampe lampe", add_special_tokens=False).tokens == ["Lampe", "<unk>"]
    for scheme in ("bpe", "characters"):
        for lowercase, wanted in ((None, "L"), (True, "l")):
            own = Tokenizer.from_buffer(train(TEXTS, scheme, 400, lowercase))  # type: ignore[arg-type]
            assert own.decode(own.encode("L").ids) == wanted


def test_the_words_kept_are_the_most_frequent() -> None:
    words = Counter(word for text in ["a a a b b c"] for word in text.split())
    assert [token for token in vocabulary(train(["a a a b b c"], "words", vocab_size=7)) if token in words] == [
        "a",
        "b",
    ]
    assert set(vocabulary(train(["aab"], "characters", vocab_size=6))) - set(ANGLES) == {"a"}


def test_rare_characters_leave_room() -> None:
    """Of more than a thousand different characters the most frequent stay."""
    texts = ["a b c d e f g h i j " * 3] + [chr(code) for code in range(0x4E00, 0x4E00 + 1500)]
    found = vocabulary(train(texts, "wordpiece", vocab_size=1100))
    assert set("abcdefghij") <= set(found)
    assert len(found) <= 1100


def test_what_cannot_be_learned_is_said() -> None:
    with pytest.raises(DataError, match="no text to learn"):
        train(["", "  "], "bpe", 400)
    with pytest.raises(DataError, match="256 bytes and 5 special tokens need 261"):
        train(TEXTS, "bpe", 100)
    with pytest.raises(DataError, match="vocab_size 20: the characters of these texts"):
        train(TEXTS, "wordpiece", 20)
    with pytest.raises(DataError, match="vocab_size 5: 5 special tokens"):
        train(TEXTS, "words", 5)
