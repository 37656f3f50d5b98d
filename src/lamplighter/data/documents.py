"""Text files as documents, and their division into units that go into one split whole."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lamplighter.core import seeding
from lamplighter.core.errors import DataError
from lamplighter.data.places import existing
from lamplighter.data.splits import NAMES, check_ratios

_BREAKS = (re.compile(r"\n[ \t]*\n\s*"), re.compile(r"\n\s*"), re.compile(r"\s+"))  # the better, the earlier
_BLOCKS = 60  # units that a few long documents are cut into, together


@dataclass(frozen=True)
class Unit:
    """A stretch of a document that is not divided any further.

    Attributes:
        document: its number.
        text: of the stretch.
        last: whether the document ends with it.
    """

    document: int
    text: str
    last: bool


def read_documents(path: str, pattern: str, encoding: str) -> tuple[list[Path], list[str]]:
    """Files and their texts, in the order of their paths; files of white space alone are left out.

    Args:
        path: a text file, or a folder whose files are looked for in it and below.
        pattern: of file names in a folder, for instance ``*.txt``.
        encoding: of all files.

    Raises:
        DataError: nothing is there, or a file is not in this encoding; names it.
    """
    place = existing(path, "file or folder")
    found = sorted(file for file in place.rglob(pattern) if file.is_file()) if place.is_dir() else [place]
    if not found:
        raise DataError(f"{place}: no file '{pattern}' in this folder; data.files says which names count")
    texts = {}
    for file in found:
        try:
            text = file.read_text(encoding=encoding)
        except LookupError:
            raise DataError(f"data.encoding: Python knows no encoding '{encoding}'") from None
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise DataError(
                f"{file}:{line}: not {encoding}: byte {error.object[error.start]:#04x}; data.encoding says what it is, "
                "for instance latin-1"
            ) from None
        if text.strip():
            texts[file] = text
    if not texts:
        raise DataError(f"{place}: there is no text in it")
    return list(texts), list(texts.values())


def units_of(documents: list[str], by: str) -> list[Unit]:
    """What is put into a split whole: documents, or stretches of them.

    Args:
        documents: texts.
        by: ``document``; ``block``: stretches of about a sixtieth of all text, cut at an empty line, else at the end of
            a line, else at a space; ``auto``: documents where there are at least 20, else blocks.

    >>> [unit.text for unit in units_of(["one two three " * 40], "block")[:2]]
    ['one two three ', 'one two three ']
    """
    if by == "document" or (by == "auto" and len(documents) >= 20):
        return [Unit(number, text, last=True) for number, text in enumerate(documents)]
    size = max(1, sum(map(len, documents)) // _BLOCKS)
    units = []
    for number, text in enumerate(documents):
        parts = _blocks(text, size)
        units += [Unit(number, part, last=part is parts[-1]) for part in parts]
    return units


def divide(units: list[Unit], shares: tuple[float, float, float], seed: int) -> list[np.ndarray]:
    """Numbers of the units of train, val and test, ascending; shares are shares of the text.

    Units are taken in a random order; each goes where most is missing.

    Raises:
        DataError: fewer units than splits.
    """
    check_ratios(shares, NAMES)
    if len(units) < len(NAMES):
        raise DataError(
            f"{len(units)} documents cannot be divided into {', '.join(NAMES)}; use more files, or "
            "data.split_by: block, which divides inside of files"
        )
    sizes = np.array([len(unit.text) for unit in units], float)
    order = seeding.generator(seed, "split texts").permutation(len(units))
    missing = np.array(shares) * sizes.sum()
    part = np.empty(len(units), int)
    for place, unit in enumerate(order):
        left = len(units) - place
        empty = [number for number in range(len(NAMES)) if not (part[order[:place]] == number).any()]
        among = empty if len(empty) >= left else list(range(len(NAMES)))
        part[unit] = max(among, key=lambda number: missing[number])
        missing[part[unit]] -= sizes[unit]
    return [np.flatnonzero(part == number) for number in range(len(NAMES))]


def passages(units: list[Unit], chosen: np.ndarray) -> tuple[list[str], list[bool]]:
    """Texts without a gap made of some units, and whether the document ends with each.

    Args:
        units: all of them.
        chosen: ascending numbers of those of one split. Neighbours in one document are joined.

    >>> units = units_of(["a b c d"], "block")
    >>> [unit.text for unit in units], passages(units, np.array([0, 1, 3]))
    (['a ', 'b ', 'c ', 'd'], (['a b ', 'd'], [False, True]))
    """
    texts: list[str] = []
    ends: list[bool] = []
    before = None
    for number in chosen.tolist():
        unit = units[number]
        if before == number - 1 and not ends[-1]:
            texts[-1] += unit.text
            ends[-1] = unit.last
        else:
            texts.append(unit.text)
            ends.append(unit.last)
        before = number
    return texts, ends


def _blocks(text: str, size: int) -> list[str]:
    """Stretches of ``size`` characters or somewhat more, cut where text is naturally divided."""
    parts, start = [], 0
    while len(text) - start > 1.5 * size:
        stop = _cut(text, start + size, start + 2 * size)
        if stop is None or not text[stop:].strip():
            break
        parts.append(text[start:stop])
        start = stop
    return [*parts, text[start:]]


def _cut(text: str, first: int, last: int) -> int | None:
    """The best place between two positions, the end of a gap between paragraphs, lines or words."""
    for gap in _BREAKS:
        found = gap.search(text, first - 1, max(last, first + 1))
        if found:
            return found.end()
    found = _BREAKS[-1].search(text, first)
    return found.end() if found else None
