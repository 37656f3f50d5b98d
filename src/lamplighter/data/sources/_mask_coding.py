"""What the values of masks mean, as far as a recipe leaves it open."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from lamplighter.core.errors import DataError
from lamplighter.data.preprocessing import reading
from lamplighter.data.preprocessing.mask_files import Files
from lamplighter.data.preprocessing.masks import Colour, MaskCoding
from lamplighter.data.sources._images import each

MOST_VALUES = 256


def coding(
    files: Sequence[Files],
    classes: tuple[str, ...] | None,
    palette: tuple[Colour, ...] | None,
    values: tuple[int, ...] | None,
    ignore: Literal["auto"] | int | Colour | None,
    notes: list[str],
) -> tuple[MaskCoding, tuple[str, ...]]:
    """What the pixels of masks mean, and the names of the classes.

    Args:
        files: whose masks are looked at where something is left open.
        classes: names, or None.
        palette: colours, or None.
        values: of each class, or None.
        ignore: value of pixels that do not count.
        notes: takes a line about what was decided.

    Raises:
        DataError: numbers of names and values do not fit, or there are fewer than two classes.
    """
    if palette is not None and values is not None:
        raise DataError("data: palette and values are two ways to say one thing; give one of them")
    given: tuple[int, ...] | tuple[Colour, ...] | None = None if values is None else tuple(values)
    given = given if palette is None else tuple(_colour(parts) for parts in palette)
    ignore = ignore if ignore is None or isinstance(ignore, int | str) else _colour(ignore)
    if given is None:
        given, ignore = _decide(files, classes, ignore, notes)
    elif ignore == "auto":
        ignore = None if palette is not None or 255 in given else 255
    labels = tuple(classes) if classes is not None else tuple(str(k) for k in range(len(given)))
    if len(labels) != len(given):
        raise DataError(
            f"data: {len(labels)} classes ({', '.join(labels)}) for {len(given)} values or colours of masks"
        )
    if len(set(labels)) < len(labels) or len(set(given)) < len(given):
        raise DataError("data: a class, value or colour stands there twice; each needs its own")
    if len(labels) < 2:
        raise DataError("data: masks have a single class; at least two are needed, of which one may be background")
    if ignore in given:
        raise DataError(f"data.ignore_index: {ignore} is the value of class '{labels[given.index(ignore)]}'")
    assert not isinstance(ignore, str)
    if palette is not None and isinstance(ignore, int):
        raise DataError(f"data.ignore_index: {ignore} is no colour; masks are colour images, so give [r, g, b] or null")
    return MaskCoding(given, ignore), labels


def _colour(parts: Sequence[int]) -> Colour:
    red, green, blue = parts
    return red, green, blue


def _decide(
    files: Sequence[Files],
    classes: tuple[str, ...] | None,
    ignore: Literal["auto"] | int | Colour | None,
    notes: list[str],
) -> tuple[tuple[int, ...], int | Colour | None]:
    """Values of the classes, and the value to ignore, from what masks hold."""
    if classes is not None and len(classes) != 2:
        return tuple(range(len(classes))), (255 if ignore == "auto" and len(classes) <= 255 else _known(ignore))
    present = _present([pair.mask for pair in files])
    if set(present) <= {0, 255} and ignore in ("auto", None):
        notes.append("masks hold 0 and 255: two classes, and no pixel is ignored")
        return (0, 255), None
    if classes is not None:
        return (0, 1), 255 if ignore == "auto" else ignore
    left_out = 255 if ignore == "auto" else ignore
    largest = max((value for value in present if value != left_out), default=0)
    if largest >= MOST_VALUES:
        raise DataError(f"masks hold values up to {largest}; name the classes and their values in data")
    return tuple(range(largest + 1)), left_out


def _known(ignore: Literal["auto"] | int | Colour | None) -> int | Colour | None:
    return None if ignore == "auto" else ignore


def _present(paths: Sequence[Path]) -> list[int]:
    """All values that occur in masks."""

    def values(path: Path) -> np.ndarray:
        pixels = reading.read_mask(path)
        if pixels.ndim == 3:
            raise DataError(f"{path}: is a colour image; give data.palette, the colour of each class")
        return np.unique(pixels)

    found = each(paths, values, "reading masks", True, name=lambda path: path)
    return [int(value) for value in np.unique(np.concatenate(found))]
