"""Reads files of tagged words, and checks that the tags follow their scheme; every error names file and line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lamplighter.core.errors import DataError
from lamplighter.data.tables import jsonl

Scheme = Literal["auto", "bio", "iobes", "none"]


@dataclass
class Tagged:
    """One sentence.

    Attributes:
        words: at least one.
        tags: one for each word.
        path: of the file.
        lines: of the file, one for each word, or a single one.
    """

    words: list[str]
    tags: list[str]
    path: Path
    lines: list[int]

    @property
    def where(self) -> str:
        """File and first line."""
        return self.at(0)

    def at(self, word: int) -> str:
        """File and line of a word."""
        return f"{self.path}:{self.lines[min(word, len(self.lines) - 1)]}"


def read_tagged(path: Path, words: int | str, tags: int | str, encoding: str) -> list[Tagged]:
    """All sentences of a file.

    Args:
        path: CoNLL columns, or ``.jsonl``.
        words: column, counted from 0, or name of the list.
        tags: see ``words``.
        encoding: of a CoNLL file.

    Raises:
        DataError: a line that does not fit, or no sentences.
    """
    found = _from_json(path, words, tags) if jsonl.is_jsonl(path) else _from_columns(path, words, tags, encoding)
    if not found:
        raise DataError(f"{path}: no sentences in this file")
    return found


def check_scheme(sentences: list[Tagged], scheme: Scheme, mend: bool) -> tuple[Literal["bio", "iobes", "none"], int]:
    """Refuse sequences that a scheme forbids, or mend them in place.

    Args:
        sentences: all of them.
        scheme: ``auto`` is ``bio`` or ``iobes`` when all tags are ``O`` or have such a prefix, else ``none``.
        mend: let a tag that goes on with nothing begin an entity.

    Returns:
        The scheme, and how many tags were mended.

    Raises:
        DataError: names file and line.
    """
    known = {tag for sentence in sentences for tag in sentence.tags}
    prefixes = {_parted(tag)[0] for tag in known}
    if scheme == "auto":
        typed = (prefixes <= set("OBIES") and "B" in prefixes) or (prefixes <= set("OSIE") and "S" in prefixes)
        scheme = "none" if not typed else "iobes" if prefixes & set("ES") else "bio"
    if scheme == "none":
        return "none", 0
    allowed = "OBI" if scheme == "bio" else "OBIES"
    mended = 0
    for sentence in sentences:
        before = ("O", "")
        for word, tag in enumerate(sentence.tags):
            prefix, kind = _parted(tag)
            if prefix not in allowed or (prefix != "O" and not kind):
                raise DataError(
                    f"{sentence.at(word)}: '{tag}' is no tag of the scheme {scheme}: O, or one of "
                    f"{', '.join(allowed[1:])}, a hyphen and a type; for other tags set data.scheme: none"
                )
            goes_on = prefix in "IE" and not (before[0] in "BI" and before[1] == kind)
            if goes_on and not mend:
                after = f"'{sentence.tags[word - 1]}'" if word else "nothing"
                raise DataError(
                    f"{sentence.at(word)}: '{tag}' goes on with an entity, but follows {after}; correct it, or let it "
                    "begin one with data.mend: true"
                )
            if goes_on:
                prefix = "S" if prefix == "E" else "B"
                sentence.tags[word] = f"{prefix}-{kind}"
                mended += 1
            before = (prefix, kind)
    return scheme, mended


def _from_columns(path: Path, words: int | str, tags: int | str, encoding: str) -> list[Tagged]:
    if not isinstance(words, int) or not isinstance(tags, int):
        raise DataError("data.words and data.tags: of a CoNLL file give the numbers of columns, counted from 0")
    found: list[Tagged] = []
    current = Tagged([], [], path, [])
    try:
        with path.open(encoding=encoding) as file:
            for line, text in enumerate(file, start=1):
                text = text.rstrip("\r\n").removeprefix("\ufeff")
                if not text.strip() or text.startswith("-DOCSTART-"):
                    if current.words:
                        found.append(current)
                        current = Tagged([], [], path, [])
                    continue
                if text.startswith("# ") and not current.words:
                    continue
                cells = text.split("\t") if "\t" in text else text.split()
                word, tag = _cells(cells, words, tags, f"{path}:{line}")
                current.words.append(word)
                current.tags.append(tag)
                current.lines.append(line)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not {encoding} text ({error.reason}); set another data.encoding") from None
    except (OSError, LookupError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    return [*found, current] if current.words else found


def _cells(cells: list[str], words: int, tags: int, where: str) -> tuple[str, str]:
    try:
        word, tag = cells[words].strip(), cells[tags].strip()
    except IndexError:
        raise DataError(f"{where}: {len(cells)} columns, but words are in column {words} and tags in {tags}") from None
    if len(cells) < 2 and words != tags:
        raise DataError(f"{where}: a single column; every word needs its tag on the same line")
    if not word or not tag:
        raise DataError(f"{where}: the {'tag' if word else 'word'} is empty")
    if len(tag.split()) > 1:
        raise DataError(f"{where}: the tag '{tag}' has a space in it; is data.tags the right column?")
    return word, tag


def _from_json(path: Path, words: int | str, tags: int | str) -> list[Tagged]:
    names = ("words" if isinstance(words, int) else words, "tags" if isinstance(tags, int) else tags)
    found = []
    for line, row in jsonl.objects(path):
        own, tagged = (_list(row, name, f"{path}:{line}") for name in names)
        if len(own) != len(tagged):
            raise DataError(f"{path}:{line}: {len(own)} words, but {len(tagged)} tags")
        found.append(Tagged(own, tagged, path, [line]))
    return found


def _list(row: dict[str, Any], name: str, where: str) -> list[str]:
    value = row.get(name)
    if not isinstance(value, list) or not value or not all(isinstance(each, str) and each.strip() for each in value):
        raise DataError(f"{where}: '{name}' must be a list of texts, none of them empty")
    return list(value)


def _parted(tag: str) -> tuple[str, str]:
    """Prefix and type.

    >>> _parted("B-PER"), _parted("O"), _parted("NOUN")
    (('B', 'PER'), ('O', ''), ('NOUN', ''))
    """
    prefix, _, kind = tag.partition("-")
    return prefix, kind
