"""Images and their masks on a disk: which belong together, and what a data set calls its classes. Imports no torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from lamplighter.core.errors import DataError
from lamplighter.data.places import existing
from lamplighter.data.preprocessing import reading

_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_LOSSY = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})
_SHOWN = 10
CLASSES_FILE = "classes.txt"


class Files(NamedTuple):
    """An image, its mask, and the split it was put in (``""`` where none is given)."""

    image: Path
    mask: Path
    split: str = ""


def find(root: Path, images: str, masks: str, mask_suffix: str, notes: list[str]) -> list[Files]:
    """All images with their masks, in the order of their paths.

    Args:
        root: the folder.
        images: name of the folder of images.
        masks: name of the folder of masks.
        mask_suffix: what the name of a mask has more than that of its image.
        notes: takes a line about what was left out.

    Raises:
        DataError: a folder is missing, there are no images, or an image has no mask or two.
    """
    if not existing(root, "folder").is_dir():
        raise DataError(f"{root}: this is a file, not a folder")
    found: list[Files] = []
    for split, folder in _parts(root, images, masks):
        found += _pairs(folder / images, folder / masks, mask_suffix, split, notes)
    if not found:
        raise DataError(f"{root}: no images in '{images}' (known: {', '.join(sorted(reading.SUFFIXES))})")
    return found


def names(root: Path) -> tuple[str, ...] | None:
    """The lines of ``classes.txt``, or None.

    Raises:
        DataError: it cannot be read as text.
    """
    path = root / CLASSES_FILE
    if not path.is_file():
        return None
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    return tuple(line.strip() for line in lines if line.strip())


def _parts(root: Path, images: str, masks: str) -> list[tuple[str, Path]]:
    """(split, folder that holds images and masks)."""
    if (root / images).is_dir():
        if not (root / masks).is_dir():
            raise DataError(f"{root}: has '{images}' but no '{masks}'; name the folder of masks in data.masks")
        return [("", root)]
    parts = [
        (_SPLITS[child.name], child) for child in sorted(root.iterdir()) if child.name in _SPLITS and child.is_dir()
    ]
    if "train" not in {split for split, _ in parts}:
        raise DataError(
            f"{root}: has neither '{images}' and '{masks}' nor 'train' with these inside; name them in data.images and "
            "data.masks"
        )
    if len({split for split, _ in parts}) < len(parts):
        raise DataError(f"{root}: 'val', 'valid' and 'validation' mean the same; keep one of them")
    for _, folder in parts:
        for name in (images, masks):
            if not (folder / name).is_dir():
                raise DataError(f"{folder}: no folder '{name}' in it")
    return parts


def _pairs(images: Path, masks: Path, mask_suffix: str, split: str, notes: list[str]) -> list[Files]:
    by_name: dict[str, list[Path]] = {}
    for path in _below(masks, []):
        by_name.setdefault(_key(path, masks), []).append(path)
    others: list[Path] = []
    found, missing = [], []
    used = set()
    for image in _below(images, others):
        key = _key(image, images) + mask_suffix
        candidates = by_name.get(key, [])
        if len(candidates) > 1:
            raise DataError(f"{image}: has {len(candidates)} masks, {' and '.join(map(str, candidates))}; keep one")
        if not candidates:
            missing.append(image)
            continue
        if candidates[0].suffix.lower() in _LOSSY:
            raise DataError(f"{candidates[0]}: a mask as JPEG has invented values at edges; save masks as PNG")
        used.add(key)
        found.append(Files(image, candidates[0], split))
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        shown = ", ".join(str(path.relative_to(images)) for path in missing[:_SHOWN])
        raise DataError(
            f"{images}: no mask in {masks} for {shown}{more}; a mask has the name of its image"
            + (f" with '{mask_suffix}' at its end" if mask_suffix else "")
        )
    left = sorted(set(by_name) - used)
    if left:
        notes.append(f"{masks}: left out {len(left)} masks without an image: {', '.join(left[:_SHOWN])}")
    if others:
        notes.append(f"{images}: left out {len(others)} files that are no images: {others[0].name}")
    return found


def _key(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _below(folder: Path, others: list[Path]) -> list[Path]:
    """Image files at any depth, in order; other files are added to ``others``, hidden ones left alone."""

    def fail(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be listed ({error.strerror})") from None

    found: list[Path] = []
    for parent, folders, file_names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in file_names:
            if not name.startswith("."):
                path = Path(parent, name)
                (found if path.suffix.lower() in reading.SUFFIXES else others).append(path)
    return sorted(found)
