"""The local store of weights: one folder for each name, with the files, their SHA-256 and what they are."""

from __future__ import annotations

import os
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lamplighter.core import files
from lamplighter.core import weights as located
from lamplighter.core.errors import WeightsError
from lamplighter.core.registry import did_you_mean
from lamplighter.core.weights import WeightFiles

ENVIRONMENT = "LAMPLIGHTER_WEIGHTS"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ENTRY = "entry.json"


class Entry(BaseModel):
    """What is recorded of one set of weights when it is added.

    Attributes:
        name: what recipes call it.
        file: name of the file to open, within the entry's folder; of a sharded checkpoint the index.
        sha256: see `WeightFiles.sha256`.
        size: bytes of all files.
        added: when, UTC.
        origin: path it was copied from.
        architecture: the model it fits, as far as can be told.
        tensors: how many.
        parameters: numbers in them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    file: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    size: int
    added: str
    origin: str
    architecture: str | None = None
    tensors: int | None = None
    parameters: int | None = None


def root() -> Path:
    """The folder of the store: ``$LAMPLIGHTER_WEIGHTS``, or ``~/.local/share/lamplighter/weights``."""
    given = os.environ.get(ENVIRONMENT)
    return Path(given).expanduser() if given else Path.home() / ".local/share/lamplighter/weights"


def add(source: WeightFiles, name: str, sha256: str | None = None, facts: dict[str, Any] | None = None) -> Entry:
    """Copy weights into the store; they are there as a whole or not at all.

    Args:
        source: what to copy.
        name: letters, digits, ``.``, ``_``, ``-``; must be free.
        sha256: what the copy must have, for instance as published beside a download.
        facts: ``architecture``, ``tensors`` and ``parameters`` of the `Entry`.

    Raises:
        WeightsError: the name is malformed or taken, or the hash is another.
    """
    if not _NAME.fullmatch(name):
        raise WeightsError(f"'{name}': a name has letters, digits, '.', '_' and '-', and starts with a letter or digit")
    if (root() / name).exists():
        raise WeightsError(f"'{name}' is taken; choose another name, or first: lamp weights remove {name}")
    with files.directory(root() / name) as folder:
        for path in source.all:
            shutil.copyfile(path, folder / path.name)
        if source.config:
            files.write_json(folder / "config.json", source.config)
        opened = (source.index or source.paths[0]).name
        copied = located.find(folder / opened, shown=source.shown)
        digest = copied.sha256()
        if sha256 is not None:
            copied.check(sha256)
        entry = Entry(
            name=name,
            file=opened,
            sha256=digest,
            size=copied.size,
            added=datetime.now(UTC).isoformat(timespec="seconds"),
            origin=str(source.paths[0].absolute()),
            **(facts or {}),
        )
        files.write_json(folder / _ENTRY, entry.model_dump())
    return entry


def names() -> list[str]:
    """Names in the store, sorted."""
    if not root().is_dir():
        return []
    return sorted(folder.name for folder in root().iterdir() if (folder / _ENTRY).is_file() and folder.name[0] != ".")


def get(name: str) -> Entry:
    """What is recorded under a name.

    Raises:
        WeightsError: nothing is, or the record is damaged.
    """
    path = root() / name / _ENTRY
    if not _NAME.fullmatch(name) or not path.is_file():
        known = f"the store has {', '.join(names())}" if names() else "the store is empty"
        raise WeightsError(f"no weights are stored under '{name}'{did_you_mean(name, names())}; {known} ({root()})")
    try:
        return Entry.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        raise WeightsError(f"{path}: damaged; remove the name and add the file again") from None


def verified(name: str) -> WeightFiles:
    """The files of a name, after their SHA-256 was checked against the record.

    Raises:
        WeightsError: unknown name, or a file that was changed.
    """
    entry = get(name)
    found = located.find(root() / name / entry.file, shown=f"weights '{name}'")
    found.check(entry.sha256)
    return found


def remove(name: str) -> None:
    """Take a name and its files out of the store.

    Raises:
        WeightsError: unknown name.
    """
    if not _NAME.fullmatch(name) or not (root() / name).is_dir():
        get(name)
    retired = root() / f".{name}.removed"
    shutil.rmtree(retired, ignore_errors=True)
    (root() / name).rename(retired)
    shutil.rmtree(retired)


def exists(text: str) -> bool:
    """Whether there is something at a path or under a name."""
    return Path(text).expanduser().exists() or text in names()


def locate(text: str) -> WeightFiles:
    """What a recipe's ``transfer.weights`` means: a path that exists, or else a name of the store.

    Raises:
        WeightsError: it is neither.
    """
    path = Path(text).expanduser()
    if path.exists():
        return located.find(path, shown=text)
    if not _NAME.fullmatch(text):
        raise WeightsError(f"{text}: no such file or folder (paths count from {Path.cwd()})")
    try:
        return verified(text)
    except WeightsError as error:
        if (root() / text).is_dir():
            raise
        raise WeightsError(f"{text}: no such file or folder here, and {error}") from None
