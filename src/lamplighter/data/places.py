"""Finds the file or folder that a recipe or a command names."""

from __future__ import annotations

from pathlib import Path

from lamplighter.core.errors import DataError


def existing(path: str | Path, what: str = "file") -> Path:
    """The path, with ``~`` filled in.

    Args:
        path: relative paths count from the current folder.
        what: file or folder, for the message.

    Raises:
        DataError: nothing is there; names the absolute path.
    """
    place = Path(path).expanduser()
    if place.exists():
        return place
    relative = "" if place.is_absolute() else f": looked for {place.absolute()}, since paths count from this folder"
    raise DataError(f"{place}: no such {what}{relative}")
