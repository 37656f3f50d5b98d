"""Reads a folder with one sub-folder of text files for each class, as a table."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

from lamplighter.core.errors import DataError
from lamplighter.data.tables.reading import JoinedTable


def read_folder(folder: Path, text: str, target: str, encoding: str | None = None) -> JoinedTable:
    """One row for each file; its sub-folder is its class. Names that begin with a dot are left alone.

    Args:
        folder: with sub-folders.
        text: what to call the column of texts.
        target: what to call the column of classes.
        encoding: of the files; None: UTF-8, or Windows-1252 where that does not fit.

    Raises:
        DataError: no sub-folders, no files in one of them, or a file that is no text.
    """
    places = sorted(place for place in folder.iterdir() if place.is_dir() and _shown(place))
    if not places:
        raise DataError(f"{folder}: no sub-folders; give a folder with one sub-folder of text files for each class")
    found: list[tuple[Path, str]] = []
    for place in places:
        files = sorted(path for path in place.rglob("*") if path.is_file() and _shown(path))
        if not files:
            raise DataError(f"{place}: no files; remove the folder, or put texts of this class into it")
        found += [(path, place.name) for path in files]
    columns: dict[str, list[Any]] = {
        text: [read_text(path, encoding) for path, _ in found],
        target: [label for _, label in found],
    }
    origins = tuple((path, None) for path, _ in found)
    rows = range(len(found))
    return JoinedTable(folder, columns, array("q", [0 for _ in rows]), None, origins, array("q", rows))


def read_text(path: Path, encoding: str | None = None) -> str | None:
    """The text of a file; None where there is none.

    Args:
        path: the file.
        encoding: None: UTF-8, or Windows-1252 where that does not fit.

    Raises:
        DataError: it cannot be read, or is no text.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if b"\0" in content and encoding is None:
        raise DataError(f"{path}: not a text file; take it out of the folder, or say its encoding: data.encoding")
    for tried in (encoding,) if encoding else ("utf-8-sig", "cp1252", "latin-1"):
        try:
            text = content.decode(tried)
        except LookupError:
            raise DataError(f"data.encoding: '{tried}' is no encoding that Python knows") from None
        except UnicodeDecodeError:
            continue
        return text if text.strip() else None
    raise DataError(f"{path}: not {encoding} text; set another data.encoding")


def _shown(path: Path) -> bool:
    return not path.name.startswith(".")
