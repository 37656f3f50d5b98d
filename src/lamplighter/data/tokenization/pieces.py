"""What the tokens of a vocabulary stand for: how many bytes, whether they begin a word, whether they are special."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamplighter.core.signature import Vocabulary
from lamplighter.data.tokenization import special


def token_bytes(tokenizer: Any) -> np.ndarray | None:
    """(V,) int64 bytes of text that each token stands for, 0 for special ones.

    None for tokenizers that forget something, such as case or the width of white space: then the tokens of a text do
    not tell how long it is.

    Args:
        tokenizer: a ``tokenizers.Tokenizer``.

    >>> from tokenizers import Tokenizer
    >>> from lamplighter.data.tokenization.training import train
    >>> sizes = token_bytes(Tokenizer.from_buffer(train(["schön schön"], "bpe", vocab_size=300)))
    >>> sizes.min(), sizes.max()
    (np.int64(0), np.int64(6))
    """
    byte_level = special.is_byte_level(tokenizer)
    if tokenizer.normalizer is not None or not (byte_level or _is_of_characters(tokenizer)):
        return None
    found = np.zeros(size(tokenizer), np.int64)
    for token, id_ in tokenizer.get_vocab(with_added_tokens=True).items():
        found[id_] = len(token) if byte_level else len(token.encode())
    found[special_ids(tokenizer)] = 0
    return found


def begins_word(tokenizer: Any) -> np.ndarray:
    """(V,) bool: whether a token is the first of a word, rather than the rest of one.

    ``##`` marks the rest in WordPiece. In byte-level vocabularies words begin with their space, whatever is no letter
    or digit stands by itself, and a part of a character goes on. Elsewhere every token is a word.

    Args:
        tokenizer: a ``tokenizers.Tokenizer``.
    """
    byte_level = special.is_byte_level(tokenizer)
    prefix = getattr(tokenizer.model, "continuing_subword_prefix", None) or ""
    found = np.ones(size(tokenizer), bool)
    for token, id_ in tokenizer.get_vocab(with_added_tokens=True).items():
        if byte_level:
            found[id_] = not _goes_on(token)
        elif prefix:
            found[id_] = not token.startswith(prefix)
    found[special_ids(tokenizer)] = True
    return found


def special_ids(tokenizer: Any) -> list[int]:
    """Ids of tokens that stand for no text."""
    return sorted(id_ for id_, token in tokenizer.get_added_tokens_decoder().items() if token.special)


def meanings(vocabulary: Vocabulary) -> list[int]:
    """Ids that the vocabulary gives a role, each once."""
    roles = (vocabulary.pad, vocabulary.unk, vocabulary.bos, vocabulary.eos, vocabulary.cls, vocabulary.sep)
    return sorted({id_ for id_ in (*roles, vocabulary.mask) if id_ is not None})


def size(tokenizer: Any) -> int:
    """One more than the largest id."""
    return int(max(tokenizer.get_vocab(with_added_tokens=True).values())) + 1


def _goes_on(token: str) -> bool:
    """Whether a byte-level token begins with a letter or digit, or with half of one."""
    from tokenizers import decoders

    first = decoders.ByteLevel().decode([token])[:1]
    return first.isalnum() or first == "\ufffd"


def _is_of_characters(tokenizer: Any) -> bool:
    """Whether every token but the special ones is a single character."""
    ids, specials = tokenizer.get_vocab(with_added_tokens=True), set(special_ids(tokenizer))
    return "isolated" in repr(tokenizer.pre_tokenizer).lower() and all(
        len(token) == 1 for token, id_ in ids.items() if id_ not in specials
    )
