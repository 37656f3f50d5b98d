"""A segmentation bundle over folders: masks written for images, and scores beside the true masks of a mask folder."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lamplighter.bundle.runtime import readers
from lamplighter.bundle.runtime.bundle import Bundle
from lamplighter.bundle.runtime.progress import progress as show_progress
from lamplighter.core import files
from lamplighter.core.errors import DataError, InputError
from lamplighter.data.preprocessing import mask_files, masks, pixels, reading

MASKS, OVERLAYS = "masks", "overlays"


def predict_masks(bundle: Bundle, input: Path, out: Path, *, skip_bad: bool = False, progress: bool = True) -> int:
    """Answer every image of a folder with a mask.

    Writes ``masks/NAME.png`` (class indices at the image's own size, shown in colours), ``overlays/NAME.jpg`` (the
    image with the classes' colours laid over it) and ``classes.txt``, so that the folder's masks can be trained on.

    Args:
        bundle: of kind segmentation.
        input: a folder of images, at any depth.
        out: a folder; made when it does not exist. Files of the same name are replaced.
        skip_bad: leave out images that cannot be read instead of stopping.
        progress: show a bar on stderr.

    Returns:
        Masks written.

    Raises:
        DataError: no folder of images, or an image that cannot be read; names it.
    """
    if not input.is_dir():
        raise DataError(f"{input}: is no folder of images; masks are written for a folder")
    paths = readers.images_below(input)
    names = [path.relative_to(input).with_suffix("").as_posix() for path in paths]
    seen: set[str] = set()
    for path, name in zip(paths, names):
        if name in seen:
            raise DataError(f"{path}: another image has this name with another ending; their masks would be one file")
        seen.add(name)
    palette = masks.colours(len(bundle.manifest.output.labels))
    files.write_text(_made(out / mask_files.CLASSES_FILE), "\n".join(bundle.manifest.output.labels) + "\n")
    written = 0
    with show_progress("images", lambda: len(paths), progress) as advance:
        for path, name in zip(paths, names):
            advance(1)
            try:
                [answer] = bundle.predict([path])
            except InputError as error:
                if skip_bad:
                    continue
                raise DataError(str(error)) from None
            files.write_bytes(_made(out / MASKS / f"{name}.png"), masks.png(answer["mask"], palette))
            shown = masks.overlay(pixels.convert(reading.read(path), 3, 8), answer["mask"])
            files.write_bytes(_made(out / OVERLAYS / f"{name}.jpg"), masks.jpeg(shown))
            written += 1
    return written


def judge_masks(bundle: Bundle, folder: Path, progress: bool = True) -> dict[str, np.ndarray]:
    """Answer every image of a mask folder and count pixels beside the true masks, at the images' own sizes.

    Masks are read as they were in training: same values or colours of classes, same names of folders.

    Args:
        bundle: of kind segmentation.
        folder: with ``images`` and ``masks``, or splits that hold them, as source ``mask-folder`` takes it.
        progress: show a bar on stderr.

    Returns:
        ``confusion`` (N, K, K) of the images that have a pixel with a class.

    Raises:
        DataError: an image without a mask, or files that do not fit; names them.
    """
    data = bundle.manifest.recipe["data"]
    settings = data if data.get("name") == "mask-folder" else {}
    pairs = mask_files.find(
        folder, settings.get("images", "images"), settings.get("masks", "masks"), settings.get("mask_suffix", ""), []
    )
    coding = _coding(settings, len(bundle.manifest.output.labels))
    counted: list[np.ndarray] = []
    stream = iter(pairs)
    with show_progress("images", lambda: len(pairs), progress) as advance:
        while chunk := list(itertools.islice(stream, 8)):
            try:
                answers = bundle.predict([pair.image for pair in chunk])
            except InputError as error:
                raise DataError(str(error)) from None
            counted += [_counted(pair, answer, coding) for pair, answer in zip(chunk, answers)]
            advance(len(chunk))
    confusion = np.stack(counted)
    labelled = confusion.sum(axis=(1, 2)) > 0
    if not labelled.any():
        raise DataError(f"{folder}: no pixel of a mask has a class")
    return {"confusion": confusion[labelled]}


def _coding(settings: dict[str, Any], classes: int) -> masks.MaskCoding:
    """What training said about the values of masks; else class indices and 255."""
    if settings.get("palette") is not None:
        ignore = settings.get("ignore_index")
        return masks.MaskCoding(tuple(map(_colour, settings["palette"])), None if ignore is None else _colour(ignore))
    values = settings.get("values") or range(classes)
    ignore = settings.get("ignore_index", 255 if classes <= 255 else None)
    return masks.MaskCoding(tuple(values), ignore)


def _colour(parts: Sequence[int]) -> masks.Colour:
    red, green, blue = parts
    return red, green, blue


def _counted(pair: mask_files.Files, answer: dict[str, Any], coding: masks.MaskCoding) -> np.ndarray:
    try:
        truth = coding.read(pair.mask)
    except InputError as error:
        raise DataError(f"{pair.mask}: {error.reason}") from None
    mask, classes = answer["mask"], len(answer["shares"])
    if truth.shape != mask.shape:
        raise DataError(
            f"{pair.mask}: is {truth.shape[0]} x {truth.shape[1]} pixels, its image {mask.shape[0]} x {mask.shape[1]}"
        )
    cells = truth.astype(np.int64) * classes + mask
    counts = np.bincount(cells[truth >= 0], minlength=classes * classes)
    return counts.reshape(classes, classes)


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
