"""Reads the rows of a file of JSON lines: one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lamplighter.core.errors import DataError

SUFFIXES = frozenset({".jsonl", ".ndjson"})


def is_jsonl(path: Path) -> bool:
    """Told by the name: ``.jsonl`` or ``.ndjson``."""
    return path.suffix.lower() in SUFFIXES


def objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """``(line, object)`` of every line that is not blank.

    Raises:
        DataError: a line that is no JSON object; names file and line.
    """
    with path.open("rb") as file:
        for line, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                cells = json.loads(text, parse_constant=_refuse_constant)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}:{line}: broken row: not JSON ({error})") from None
            if not isinstance(cells, dict):
                raise DataError(f"{path}:{line}: broken row: expected an object {{...}}, not {type(cells).__name__}")
            yield line, cells


def rows(path: Path) -> tuple[list[str], Iterator[tuple[int, list[Any]]]]:
    """Names of all fields of the file, in the order they first appear, and its rows; an absent field is None.

    The file is read twice, so that memory does not grow with it.

    Raises:
        DataError: see `objects`; and for a file without any object.
    """
    names = list(dict.fromkeys(name for _, cells in objects(path) for name in cells))
    if not names:
        raise DataError(f"{path}: the file is empty")
    return names, ((line, [cells.get(name) for name in names]) for line, cells in objects(path))


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value; write null")
