"""Finds the file or folder that a recipe or a command names, also inside an installed package."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from lamplighter.core.errors import DataError

PACKAGE = "package:"
"""Begins the path of a file that a Python distribution installs: ``package:nltk-data/corpora/x.csv``."""


def existing(path: str | Path, what: str = "file") -> Path:
    """The path, with ``~`` filled in.

    Args:
        path: relative paths count from the current folder; ``package:NAME/PATH`` is a file that the installed
            distribution NAME brought, PATH as ``pip show --files NAME`` has it.
        what: file or folder, for the message.

    Raises:
        DataError: nothing is there; names the absolute path, or the pip line that brings the package.
    """
    if str(path).startswith(PACKAGE):
        return _in_package(str(path).removeprefix(PACKAGE), what)
    place = Path(path).expanduser()
    if place.exists():
        return place
    relative = "" if place.is_absolute() else f": looked for {place.absolute()}, since paths count from this folder"
    raise DataError(f"{place}: no such {what}{relative}")


def _in_package(path: str, what: str) -> Path:
    """A file of an installed distribution, found without importing it."""
    name, _, inside = path.partition("/")
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        raise DataError(f"{PACKAGE}{path}: the package '{name}' is not installed; run: pip install {name}") from None
    place = Path(str(distribution.locate_file(inside)))
    if not inside or ".." in Path(inside).parts or not place.exists():
        raise DataError(f"{PACKAGE}{path}: {name} {distribution.version} is installed but has no such {what}")
    return place
