"""Images and their masks, file by file, in two folders."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field

from lamplighter.core.errors import InputError
from lamplighter.core.registry import FromData
from lamplighter.data import splits as splitting
from lamplighter.data.preprocessing import mask_files, reading
from lamplighter.data.preprocessing.masks import nearest
from lamplighter.data.sources import _mask_coding
from lamplighter.data.sources._images import Format, Statistics, decide_format, each, mean_and_deviation
from lamplighter.data.sources._masks import MaskRows, Pair, mask_preprocessing, mask_signature, pixels_of_classes
from lamplighter.data.split_rules import SplitByPath, SplitKeys, SplitOfFolder, keys_of_paths, report
from lamplighter.data.splits import Splits

Size = Annotated[int, Field(ge=1)]
Channel = Annotated[int, Field(ge=0, le=255)]
_SHARES = (0.8, 0.1, 0.1)


class MaskFolder:
    """A folder of images and a folder of masks with the same names, which give each pixel its class.

    ``path`` holds ``images`` and ``masks``, or ``train``, ``val`` and ``test`` (also ``valid`` or ``validation``) that
    hold them. Where ``val`` or ``test`` is missing beside ``train``, it is cut from ``train``. A mask lies where its
    image lies, at any depth, and has its name, whatever the ending; JPEG is refused for masks, since it invents values
    at edges. Every file is read once at the start: what does not fit stops the run and is named.

    Masks are gray or palette images of class indices, or colour images with ``palette``. A mask is brought to another
    size by taking the nearest pixel.

    Args:
        path: the folder.
        classes: names, in the order of the masks' values; null: those in ``classes.txt`` (one a line) if the folder
            has it, else the values that masks have.
        palette: the colour of each class, in the order of ``classes``, for masks that are colour images.
        values: the pixel value of each class, in the order of ``classes``; null: 0, 1, 2, ...; or 0 and 255 when
            masks have no others.
        ignore_index: value, or colour, of pixels that do not count; auto: 255, unless it is a class.
        size: height and width that images are brought to; original: each keeps its own, and smaller ones of a batch
            are filled up; null: the size they have if it is one, else original.
        channels: 1 gray, 3 colour, 4 with transparency, or the number the files have; auto: 1 if all are gray.
        bits: 8 or 16; auto: 16 if any image has 16.
        images: name of the folder of images.
        masks: name of the folder of masks.
        mask_suffix: what the name of a mask has more than that of its image, such as ``_mask``.
        split: shares of train, val and test; or {by: group, pattern: "(patient[0-9]+)_"}, which keeps images together
            whose paths below the folder have the same match.
        cache_mb: megabytes that decoded images and masks may take; beyond that they are decoded for each batch.
        seed: of the split.
        splits: a persisted split to use again.

    Attributes:
        notes: what was left out or decided, one line each.
        split_keys: what divisions of the images respect.

    Raises:
        DataError: no folder or images; an image without a mask; sizes, values or names that do not fit; damaged files
            (up to ten are named).
    """

    def __init__(
        self,
        path: str,
        classes: tuple[str, ...] | None = None,
        palette: tuple[tuple[Channel, Channel, Channel], ...] | None = None,
        values: tuple[Annotated[int, Field(ge=0)], ...] | None = None,
        ignore_index: Literal["auto"] | int | tuple[Channel, Channel, Channel] | None = "auto",
        size: Literal["original"] | tuple[Size, Size] | None = None,
        channels: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto",
        bits: Literal["auto", 8, 16] = "auto",
        images: str = "images",
        masks: str = "masks",
        mask_suffix: str = "",
        split: SplitOfFolder = _SHARES,
        cache_mb: Annotated[int, Field(ge=0)] = 2048,
        seed: Annotated[int, FromData] = 0,
        splits: Annotated[Splits | None, FromData] = None,
    ) -> None:
        root = Path(path).expanduser()
        self.notes: list[str] = []
        self.files = mask_files.find(root, images, masks, mask_suffix, self.notes)
        self._paths = [pair.image for pair in self.files]
        names = classes if classes is not None else mask_files.names(root)
        self.coding, labels = _mask_coding.coding(self.files, names, palette, values, ignore_index, self.notes)
        self._format, self._varying = _format(self._paths, size, channels, bits)
        fixed = None if self._varying else self._format.size
        self.preprocessing = mask_preprocessing(fixed, self._format.channels, self._format.bits)
        self.signature = mask_signature(labels, fixed, self._format.channels, self._format.bits, self._format.size)
        rule = split if isinstance(split, SplitByPath) else None
        total = len(self.files)
        self.split_keys = keys_of_paths(self._paths, root, rule, None) if rule else SplitKeys(total)
        shares = (rule.shares or _SHARES) if rule else split
        assert isinstance(shares, tuple)
        given = [pair.split for pair in self.files]
        self.splits = splits if splits is not None else _splits(self.split_keys, given, shares, seed)
        self.splits.check(total)
        self.notes += [report(self.split_keys, self.splits, rule)] if rule else []
        self._read_all(len(labels), cache_mb)
        for k in np.flatnonzero(self._counts[self.splits.train].sum(axis=0) == 0):
            self.notes.append(f"no pixel of a training mask is '{labels[k]}'; the model cannot learn it")

    def split(self, name: str) -> MaskRows:
        """Rows of ``"train"``, ``"val"`` or ``"test"``."""
        return MaskRows(self._kept if self._kept is not None else self._pair, self.splits[name], self._varying)

    def raw(self, name: str, indices: np.ndarray) -> list[Any]:
        """Paths of the image files."""
        return [str(self._paths[position]) for position in self.splits[name][indices]]

    def resolved(self) -> dict[str, Any]:
        """Classes, their values or colours, size, channels and bits as decided."""
        coded = {"palette": self.coding.values} if self.coding.colours else {"values": self.coding.values}
        return {
            "classes": list(self.signature.labels),
            **{name: [list(v) if isinstance(v, tuple) else v for v in values] for name, values in coded.items()},
            "ignore_index": list(self.coding.ignore) if isinstance(self.coding.ignore, tuple) else self.coding.ignore,
            "size": "original" if self._varying else list(self._format.size),
            "channels": self._format.channels,
            "bits": self._format.bits,
        }

    def statistics(self) -> Statistics:
        """Mean and deviation of each channel over the pixels of the training images, in raw units."""
        sums = self._sums[self.splits.train].sum(axis=0) / self._pixels[self.splits.train].sum()
        return {"x": mean_and_deviation(sums[:, 0], sums[:, 1])}

    def class_counts(self) -> tuple[int, ...]:
        """Pixels of each class in the training split."""
        return tuple(int(count) for count in self._counts[self.splits.train].sum(axis=0))

    def _pair(self, position: int) -> Pair:
        """One image and its mask, as the network takes them."""
        files = self.files[position]
        fitted = self.preprocessing([files.image])
        mask = _named(files.mask, lambda: self.coding.read(files.mask))
        size = tuple(int(part) for part in fitted["original_size"][0])
        if mask.shape != size:
            raise InputError(
                f"{files.mask}: is {mask.shape[0]} x {mask.shape[1]} pixels, its image {size[0]} x {size[1]}"
            )
        image = fitted["x"][0]
        return image, mask if self._varying else nearest(mask, *image.shape[1:])

    def _read_all(self, classes: int, cache_mb: int) -> None:
        """Check every pair, count pixels, and keep what fits into memory."""
        total, layout = len(self.files), self._format
        self._sums = np.zeros((total, layout.channels, 2))
        self._pixels = np.zeros(total)
        self._counts = np.zeros((total, classes), np.int64)
        self._kept: Any = [None] * total
        left, guard = [cache_mb * 2**20], threading.Lock()

        def read(position: int) -> None:
            image, mask = self._pair(position)
            wide = image.astype(np.float64)
            self._sums[position] = np.stack([wide.sum(axis=(1, 2)), np.square(wide).sum(axis=(1, 2))], axis=1)
            self._pixels[position] = mask.size
            self._counts[position] = pixels_of_classes(mask, classes)
            with guard:
                left[0] -= image.nbytes + mask.nbytes
            if left[0] >= 0:
                self._kept[position] = (image, mask)

        each(range(total), read, "reading images and masks", True, name=lambda position: self._paths[position])
        if left[0] < 0:
            self._kept = None
        elif not self._varying:
            x, y = (np.stack([pair[part] for pair in self._kept]) for part in (0, 1))
            self._kept = (torch.from_numpy(x), torch.from_numpy(y))


def _named(path: Path, work: Callable[[], np.ndarray]) -> np.ndarray:
    """What ``work`` gives; what is wrong comes with the file's name."""
    try:
        return work()
    except InputError as error:
        raise type(error)(f"{path}: {error.reason}") from None


def _format(
    paths: list[Path],
    size: Literal["original"] | tuple[int, int] | None,
    channels: int | Literal["auto"],
    bits: int | Literal["auto"],
) -> tuple[Format, bool]:
    """What images are brought to, and whether they keep sizes of their own; then the size is the most frequent one."""
    if isinstance(size, tuple):
        return decide_format(paths, size, channels, bits), False
    sizes = Counter((layout.height, layout.width) for layout in each(paths, reading.probe, "reading heads", True))
    common = sizes.most_common(1)[0][0]
    return decide_format(paths, common, channels, bits), size == "original" or len(sizes) > 1


def _splits(keys: SplitKeys, given: list[str], ratios: tuple[float, float, float], seed: int) -> Splits:
    if given[0] == "":
        return keys.split(ratios, seed)
    part = np.array(given)
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
