"""Images sorted into one folder for each class."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field

from lamplighter.core.errors import DataError
from lamplighter.core.registry import FromData
from lamplighter.data import splits as splitting
from lamplighter.data.places import existing
from lamplighter.data.preprocessing.reading import SUFFIXES
from lamplighter.data.sources._images import SHOWN, ImageRows, Images, Statistics, decide_format
from lamplighter.data.split_rules import SplitByPath, SplitKeys, SplitOfFolder, keys_of_paths, report
from lamplighter.data.splits import Splits

_SPLIT_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
Size = Annotated[int, Field(ge=1)]
_SHARES = (0.8, 0.1, 0.1)


class ImageFolder:
    """A folder with one sub-folder of images for each class, or with such folders inside ``train``, ``val``, ``test``.

    Files lie at any depth below their class; hidden ones are left alone. Labels are the folders' names in alphabetical
    order. Where ``val`` or ``test`` is missing beside ``train``, it is cut from ``train``. Every image is decoded once
    at the start: a damaged one stops the run and is named.

    Args:
        path: the folder.
        size: height and width that images are brought to; null: the size they have if it is one, else 64 x 64.
        channels: 1 gray, 3 colour, 4 with transparency, or the number the files have; auto: 1 if all are gray.
        bits: 8 or 16; auto: 16 if any image has 16.
        split: shares of train, val and test; or {by: group, pattern: "(patient[0-9]+)_"}, which keeps images together
            whose paths below the folder have the same match.
        cache_mb: megabytes that decoded images may take; beyond that they are decoded again for each batch.
        seed: of the split.
        splits: a persisted split to use again.

    Attributes:
        notes: what was left out or decided, one line each.
        split_keys: what divisions of the images respect.

    Raises:
        DataError: no folder, no images, fewer than two classes, or damaged images (up to ten are named).
    """

    def __init__(
        self,
        path: str,
        size: tuple[Size, Size] | None = None,
        channels: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto",
        bits: Literal["auto", 8, 16] = "auto",
        split: SplitOfFolder = _SHARES,
        cache_mb: Annotated[int, Field(ge=0)] = 2048,
        seed: Annotated[int, FromData] = 0,
        splits: Annotated[Splits | None, FromData] = None,
    ) -> None:
        root = Path(path).expanduser()
        self.notes: list[str] = []
        paths, names, given = list_images(root, self.notes)
        labels = sorted(set(names))
        if len(labels) < 2:
            raise DataError(f"{root}: only one class ('{labels[0]}'); a folder for each of at least two is needed")
        y = np.searchsorted(np.array(labels), np.array(names)).astype(np.int64)
        rule = split if isinstance(split, SplitByPath) else None
        self.split_keys = keys_of_paths(paths, root, rule, y) if rule else SplitKeys(len(paths), y)
        shares = (rule.shares or _SHARES) if rule else split
        assert isinstance(shares, tuple)
        self.splits = splits if splits is not None else _splits(root, self.split_keys, labels, given, shares, seed)
        self.splits.check(len(paths))
        self.notes += [report(self.split_keys, self.splits, rule)] if rule else []
        for label in set(range(len(labels))) - set(y[self.splits.train].tolist()):
            raise DataError(f"{root}: no image of class '{labels[label]}' is in the training split; add more of them")
        self._format = decide_format(paths, size, channels, bits)
        self.signature = self._format.signature(labels)
        self.preprocessing = self._format.preprocessing()
        self._images = Images(paths, self.preprocessing, self._format.tensor(), cache_mb)
        self._y = torch.from_numpy(y)

    def split(self, name: str) -> ImageRows:
        """Rows of ``"train"``, ``"val"`` or ``"test"``."""
        return ImageRows(self._images, self._y, self.splits[name])

    def raw(self, name: str, indices: np.ndarray) -> list[Any]:
        """Paths of the files."""
        return [str(self._images.paths[position]) for position in self.splits[name][indices]]

    def resolved(self) -> dict[str, Any]:
        """Size, channels and bits as decided."""
        return {"size": list(self._format.size), "channels": self._format.channels, "bits": self._format.bits}

    def statistics(self) -> Statistics:
        """Mean and deviation of each channel over the training images, in raw units."""
        return {"x": self._images.statistics(self.splits.train)}


def list_images(root: Path, notes: list[str]) -> tuple[list[Path], list[str], list[str]]:
    """All images, the class of each, and the split each was put in (``""`` where none is given)."""
    if not existing(root, "folder").is_dir():
        raise DataError(f"{root}: this is a file, not a folder")
    parts = _parts(root)
    paths: list[Path] = []
    names: list[str] = []
    given: list[str] = []
    ignored: list[Path] = []
    for part, folder in parts:
        for child in _children(folder):
            if not child.is_dir():
                ignored.append(child)
                continue
            found = _images_below(child, ignored)
            if not found:
                raise DataError(f"{child}: no images in this class folder; add some or remove the folder")
            paths += found
            names += [_label(child)] * len(found)
            given += [part] * len(found)
    if not paths:
        raise DataError(f"{root}: no images; put them into one folder for each class (known: {_known()})")
    if ignored:
        shown = ", ".join(str(file.relative_to(root)) for file in ignored[:SHOWN])
        more = f" and {len(ignored) - SHOWN} more" if len(ignored) > SHOWN else ""
        notes.append(f"left out {len(ignored)} files that are no images in a class folder: {shown}{more}")
    return paths, names, given


def _parts(root: Path) -> list[tuple[str, Path]]:
    """(split, folder of class folders); the split is ``""`` when the folder is not split yet."""
    children = {child.name: child for child in _children(root) if child.is_dir()}
    divided = (
        "train" in children
        and set(children) <= set(_SPLIT_FOLDERS)
        and any(child.is_dir() for child in _children(children["train"]))
    )
    if not divided:
        return [("", root)]
    parts = [(_SPLIT_FOLDERS[name], child) for name, child in sorted(children.items())]
    if len({part for part, _ in parts}) < len(parts):
        raise DataError(f"{root}: 'val', 'valid' and 'validation' mean the same; keep one of them")
    return parts


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(child for child in folder.iterdir() if not child.name.startswith((".", "__MACOSX")))
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror})") from None


def _images_below(folder: Path, ignored: list[Path]) -> list[Path]:
    def fail(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be listed ({error.strerror})") from None

    images: list[Path] = []
    for parent, folders, file_names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in file_names:
            if not name.startswith("."):
                file = Path(parent, name)
                (images if file.suffix.lower() in SUFFIXES else ignored).append(file)
    return sorted(images)


def _label(folder: Path) -> str:
    try:
        folder.name.encode()
    except UnicodeEncodeError:
        raise DataError(f"{os.fsencode(folder)!r}: the folder's name is not UTF-8; rename it") from None
    return folder.name


def _known() -> str:
    return ", ".join(sorted(SUFFIXES))


def _splits(
    root: Path, keys: SplitKeys, labels: list[str], given: list[str], ratios: tuple[float, float, float], seed: int
) -> Splits:
    if given[0] == "":
        return keys.split(ratios, seed)
    y = keys.classes
    assert y is not None
    part = np.array(given)
    only_outside = sorted(set(y[part != "train"]) - set(y[part == "train"]))
    if only_outside:
        raise DataError(f"{root}: class '{labels[only_outside[0]]}' has no images in 'train'")
    train = np.flatnonzero(part == "train")
    chosen: dict[str, np.ndarray] = {name: np.flatnonzero(part == name) for name in set(given) if name != "train"}
    missing = [name for name in splitting.NAMES[1:] if name not in chosen]
    if missing:
        shares = {name: ratios[splitting.NAMES.index(name)] for name in ("train", *missing)}
        total = sum(shares.values())
        pieces = keys.cut([share / total for share in shares.values()], seed, names=list(shares), among=train)
        chosen |= dict(zip(missing, pieces[1:]))
        train = pieces[0]
    return Splits(train, chosen["val"], chosen["test"])
