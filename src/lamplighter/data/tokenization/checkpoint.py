"""Reads the tokenizer that lies beside a checkpoint: tokenizer.json, vocab.txt, or vocab.json with merges.txt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lamplighter.core import extras
from lamplighter.core.errors import DataError
from lamplighter.data.places import existing

_ROLES = ("pad", "unk", "bos", "eos", "cls", "sep", "mask")
_BERT = {"unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]", "mask": "[MASK]"}
_GPT2 = {"unk": "<|endoftext|>", "bos": "<|endoftext|>", "eos": "<|endoftext|>"}
_ROBERTA = {
    "bos": "<s>",
    "eos": "</s>",
    "sep": "</s>",
    "cls": "<s>",
    "unk": "<unk>",
    "pad": "<pad>",
    "mask": "<mask>",
}
_LOOKED_FOR = "tokenizer.json, vocab.txt, or vocab.json and merges.txt"


@dataclass(frozen=True)
class Found:
    """A tokenizer and what its checkpoint calls its special tokens.

    Attributes:
        asset: bytes of a ``tokenizer.json``.
        named: role (``pad``, ``unk``, ``bos``, ``eos``, ``cls``, ``sep``, ``mask``) -> token.
    """

    asset: bytes
    named: dict[str, str] = field(default_factory=dict)


def read_tokenizer(path: str | Path, lowercase: bool | None = None) -> Found:
    """The tokenizer of a checkpoint, giving the ids that the ``transformers`` package gives.

    Args:
        path: a ``tokenizer.json``, a ``vocab.txt`` (BERT), a ``vocab.json`` or ``merges.txt`` (GPT-2, RoBERTa), or the
            folder of a checkpoint. ``tokenizer_config.json`` and ``special_tokens_map.json`` beside it are read, too.
        lowercase: for ``vocab.txt``; None: as ``tokenizer_config.json`` says, else yes.

    Raises:
        DataError: no such file, or one that is damaged or of another kind of tokenizer.
        MissingExtraError: the package ``tokenizers`` is not installed.
    """
    extras.require("tokenizers")
    place = existing(path, "tokenizer")
    folder = place if place.is_dir() else place.parent
    named = _named(folder)
    wanted = None if place.is_dir() else place.name
    if wanted not in (None, "vocab.txt", "vocab.json", "merges.txt"):
        return Found(_whole(place), named)
    if wanted is None and (folder / "tokenizer.json").is_file():
        return Found(_whole(folder / "tokenizer.json"), named)
    if wanted in (None, "vocab.txt") and (folder / "vocab.txt").is_file():
        return _wordpiece(folder / "vocab.txt", named, lowercase)
    if wanted != "vocab.txt" and (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        return _bpe(folder, named)
    raise DataError(f"{place}: no tokenizer here; looked for {_LOOKED_FOR}")


def _whole(path: Path) -> bytes:
    """A tokenizer.json without the padding and truncation that somebody left in it."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_buffer(path.read_bytes())
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
        raise DataError(f"{path}: not a readable tokenizer.json: {error}") from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    written: str = tokenizer.to_str()
    return written.encode()


def _wordpiece(path: Path, named: Mapping[str, str], lowercase: bool | None) -> Found:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    config = _json(path.parent / "tokenizer_config.json")
    names = {**_BERT, **named}
    try:
        with path.open(encoding="utf-8") as file:
            vocabulary = {line.rstrip("\n"): id_ for id_, line in enumerate(file)}
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    missing = [names[role] for role in ("unk", "cls", "sep") if names[role] not in vocabulary]
    if missing:
        raise DataError(f"{path}: no token {missing[0]}; a vocab.txt of a BERT has one token a line, {missing[0]} too")
    lower = config.get("do_lower_case", True) if lowercase is None else lowercase
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=names["unk"]))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=config.get("tokenize_chinese_chars", True),
        strip_accents=config.get("strip_accents"),
        lowercase=lower,
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    return _finished(tokenizer, names, names["cls"], names["sep"])


def _bpe(folder: Path, named: Mapping[str, str]) -> Found:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    config = _json(folder / "tokenizer_config.json")
    vocabulary = _json(folder / "vocab.json")
    if not vocabulary or not all(isinstance(id_, int) for id_ in vocabulary.values()):
        raise DataError(f"{folder / 'vocab.json'}: expected an object from token to id")
    kind = str(config.get("tokenizer_class") or _json(folder / "config.json").get("model_type", "")).lower()
    roberta = "roberta" in kind if kind else "<s>" in vocabulary and "<|endoftext|>" not in vocabulary
    if kind and not roberta and not kind.startswith("gpt2"):
        raise DataError(
            f"{folder}: vocab.json and merges.txt of a {kind}; only those of GPT-2 and RoBERTa are read without a "
            "tokenizer.json; save one with tokenizer.save_pretrained of the transformers package"
        )
    names = {**(_ROBERTA if roberta else _GPT2), **named}
    tokenizer = Tokenizer(models.BPE(vocabulary, _merges(folder / "merges.txt")))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=config.get("add_prefix_space", False))
    tokenizer.decoder = decoders.ByteLevel()
    begin, end = (names["cls"], names["sep"]) if roberta else ("", "")
    if not roberta and config.get("add_bos_token"):
        begin = names["bos"]
    return _finished(tokenizer, names, begin, end)


def _merges(path: Path) -> list[tuple[str, str]]:
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line or line.startswith("#version"):
            continue
        first, _, second = line.rstrip("\r").partition(" ")
        if not first or not second:
            raise DataError(f"{path}:{number}: expected two tokens with a space between them, not {line[:40]!r}")
        found.append((first, second))
    return found


def _finished(tokenizer: Any, names: Mapping[str, str], begin: str, end: str) -> Found:
    from tokenizers import AddedToken, processors

    present = [name for name in dict.fromkeys(names.values()) if tokenizer.token_to_id(name) is not None]
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in present])
    if begin or end:
        parts = [part for part in (begin, "$A", end) if part]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=" ".join(parts),
            special_tokens=[(token, tokenizer.token_to_id(token)) for token in dict.fromkeys((begin, end)) if token],
        )
    written: str = tokenizer.to_str()
    return Found(written.encode(), dict(names))


def _named(folder: Path) -> dict[str, str]:
    """Role -> token, as the files beside the vocabulary say."""
    found = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        content = _json(folder / name)
        for role in _ROLES:
            token = content.get(f"{role}_token")
            token = token.get("content") if isinstance(token, dict) else token
            if isinstance(token, str):
                found[role] = token
    return found


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise DataError(f"{path}: not JSON: {error}") from None
    return content if isinstance(content, dict) else {}
