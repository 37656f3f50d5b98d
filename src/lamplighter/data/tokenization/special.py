"""Which ids of a tokenizer have a meaning of their own: padding, unknown, begin, end, hidden."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lamplighter.core.signature import Vocabulary

_NAMES: dict[str, tuple[str, ...]] = {
    "pad": ("[PAD]", "<pad>", "<|pad|>", "<|padding|>", "<|finetune_right_pad_id|>"),
    "unk": ("[UNK]", "<unk>"),
    "bos": ("<s>", "[BOS]", "<bos>", "<|begin_of_text|>", "<|startoftext|>", "<|endoftext|>"),
    "eos": ("</s>", "[EOS]", "<eos>", "<|end_of_text|>", "<|endoftext|>"),
    "cls": ("[CLS]", "<s>"),
    "sep": ("[SEP]", "</s>"),
    "mask": ("[MASK]", "<mask>"),
}
"""Usual names, the likeliest first."""


def vocabulary(tokenizer: Any, named: Mapping[str, str] | None = None) -> Vocabulary:
    """Size and special ids.

    Args:
        tokenizer: a ``tokenizers.Tokenizer``.
        named: role -> token, where a checkpoint says so; other roles are told by the usual names of such tokens.
            Without a token for padding, the end token stands in (as GPT-2 is used), else the unknown one, else id 0:
            padded places are masked, whatever they hold.

    >>> from tokenizers import Tokenizer
    >>> from lamplighter.data.tokenization.training import train
    >>> own = Tokenizer.from_buffer(train(["a b c"], "words", vocab_size=20))
    >>> vocabulary(own)
    Vocabulary(size=8, pad=0, unk=1, bos=2, eos=3, cls=2, sep=3, mask=4)
    """
    ids = tokenizer.get_vocab(with_added_tokens=True)
    found: dict[str, int | None] = {}
    for role, names in _NAMES.items():
        given = (named or {}).get(role)
        known = [name for name in ((given,) if given is not None else names) if name in ids]
        found[role] = ids[known[0]] if known else None
    if found["unk"] is not None and _writes_everything(tokenizer):
        found["unk"] = None
    if found["bos"] is None:
        found["bos"] = found["cls"]
    if found["eos"] is None:
        found["eos"] = found["sep"]
    pad = next((id_ for id_ in (found["pad"], found["eos"], found["unk"]) if id_ is not None), 0)
    return Vocabulary.model_validate({**found, "size": max(ids.values()) + 1, "pad": pad})


def is_byte_level(tokenizer: Any) -> bool:
    """Whether spaces and bytes are part of tokens, as in GPT-2."""
    return "ByteLevel" in repr(tokenizer.pre_tokenizer)


def _writes_everything(tokenizer: Any) -> bool:
    """Byte-level vocabularies that have all 256 bytes never need the unknown token."""
    if not is_byte_level(tokenizer):
        return False
    from tokenizers import pre_tokenizers

    return all(tokenizer.token_to_id(byte) is not None for byte in pre_tokenizers.ByteLevel.alphabet())
