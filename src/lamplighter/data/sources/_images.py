"""What the image sources share: format decisions, one checked pass over all files, rows, and pixel statistics."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from lamplighter.core.errors import DataError, InputError
from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.data.preprocessing import reading
from lamplighter.data.preprocessing.pipeline import Pipeline
from lamplighter.data.rows import TensorRows
from lamplighter.data.source import Batch
from lamplighter.data.splits import Splits

DEFAULT_SIZE = (64, 64)
SHOWN = 10
Statistics = dict[str, tuple[list[float], list[float]]]
_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True)
class Format:
    """What every image of a data set is brought to.

    Attributes:
        size: (height, width).
        channels: see ``DecodeImage``.
        bits: 8 or 16.
    """

    size: tuple[int, int]
    channels: int
    bits: int

    def preprocessing(self) -> Pipeline:
        """Decode, resize, stack."""
        return Pipeline(
            [
                {"name": "decode-image", "channels": self.channels, "bits": self.bits},
                {"name": "resize", "height": self.size[0], "width": self.size[1]},
                {"name": "stack-images"},
            ]
        )

    def column(self, name: str = "image") -> Column:
        """The image as a client sends it."""
        return Column(name=name, kind="image", shape=(*self.size, self.channels))

    def tensor(self) -> TensorSpec:
        """The image as the network takes it."""
        return TensorSpec(name="x", dtype="uint8" if self.bits == 8 else "float32", shape=(self.channels, *self.size))

    def signature(self, labels: Sequence[str]) -> Signature:
        """One image in, one class out."""
        target = Column(name="label", kind="category", categories=tuple(labels))
        return Signature(inputs=(self.column(),), tensors=(self.tensor(),), targets=(target,))


def decide_format(
    paths: Sequence[Path],
    size: tuple[int, int] | None,
    channels: int | Literal["auto"],
    bits: int | Literal["auto"],
    show_progress: bool = True,
) -> Format:
    """Fill in what the recipe leaves open, from the heads of the files.

    Args:
        paths: all image files.
        size: ``None``: the size of the images when all have one, else `DEFAULT_SIZE`.
        channels: ``"auto"``: 1 when all are gray, the files' own number when they agree on more than 4, else 3
            (transparency is composed on white).
        bits: ``"auto"``: 16 when any file has 16 bits.
        show_progress: a bar when it takes long.

    Raises:
        DataError: lists the files that cannot be read.
    """
    if size is not None and channels != "auto" and bits != "auto":
        return Format(size, int(channels), int(bits))
    layouts = each(paths, reading.probe, "reading heads", show_progress)
    sizes = Counter((layout.height, layout.width) for layout in layouts)
    many = {layout.channels for layout in layouts}
    agreed = 1 if many <= {1, 2} else max(many) if len(many) == 1 and max(many) > 4 else 3
    deepest = max(layout.bits for layout in layouts)
    return Format(
        size=size or (next(iter(sizes)) if len(sizes) == 1 else DEFAULT_SIZE),
        channels=agreed if channels == "auto" else int(channels),
        bits=deepest if bits == "auto" else int(bits),
    )


class Images:
    """All images of a data set, each decoded and checked once.

    They stay in memory as one tensor when that fits, else they are decoded again batch by batch.

    Args:
        paths: files in the order of the data set.
        preprocessing: the source's pipeline; its ``x`` is kept.
        spec: the tensor it gives.
        cache_mb: memory the tensor may take, in 2**20 bytes.
        show_progress: a bar when the first pass takes long.

    Attributes:
        tensor: (images, channels, height, width), or ``None`` when they are decoded on demand.

    Raises:
        DataError: names up to ten files that cannot be decoded, and says how many there are.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        preprocessing: Callable[[Sequence[Any]], dict[str, np.ndarray]],
        spec: TensorSpec,
        cache_mb: int,
        show_progress: bool = True,
    ) -> None:
        self.paths = list(paths)
        self.preprocessing = preprocessing
        shape = [len(self.paths), *(size or 0 for size in spec.shape)]
        dtype = np.dtype(spec.dtype)
        kept = np.empty(shape, dtype) if int(np.prod(shape)) * dtype.itemsize <= cache_mb * 2**20 else None
        self._sums = np.zeros((len(self.paths), shape[1], 2))
        self._pixels = shape[2] * shape[3]

        def check(index: int) -> None:
            x = preprocessing([self.paths[index]])["x"][0]
            wide = x.astype(np.float64)
            self._sums[index, :, 0] = wide.sum(axis=(1, 2))
            self._sums[index, :, 1] = np.square(wide).sum(axis=(1, 2))
            if kept is not None:
                kept[index] = x

        each(range(len(self.paths)), check, "decoding images", show_progress, name=lambda i: self.paths[i])
        self.tensor = None if kept is None else torch.from_numpy(kept)

    def statistics(self, indices: np.ndarray) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel over the pixels of some images, in raw units.

        A channel without any variation has deviation 1, so that dividing by it is harmless.
        """
        totals = self._sums[indices].sum(axis=0) / (len(indices) * self._pixels)
        return mean_and_deviation(totals[:, 0], totals[:, 1])

    def fetch(self, indices: np.ndarray) -> Tensor:
        """``x`` of some images."""
        if self.tensor is not None:
            return self.tensor.index_select(0, torch.from_numpy(np.require(indices, np.int64, ["C", "W"])))
        try:
            return torch.from_numpy(self.preprocessing([self.paths[index] for index in indices])["x"])
        except InputError as error:
            raise DataError(f"an image changed since training began: {error.reason}") from error


class ImageRows:
    """One split of `Images` with its targets.

    Args:
        images: of the whole data set.
        y: targets of the whole data set, first dimension images.
        positions: which of them belong to the split.
    """

    def __init__(self, images: Images, y: Tensor, positions: np.ndarray) -> None:
        self.images = images
        self.y = y
        self.positions = torch.from_numpy(positions.astype(np.int64))
        self.decodes = images.tensor is None

    def __len__(self) -> int:
        return len(self.positions)

    def fetch(self, indices: np.ndarray) -> Batch:
        """Rows at positions within the split."""
        chosen = self.positions.index_select(0, torch.from_numpy(np.require(indices, np.int64, ["C", "W"])))
        return {"x": self.images.fetch(chosen.numpy()), "y": self.y.index_select(0, chosen)}


class GrayArrays:
    """What a source of gray uint8 images in one array is made of; its constructor finds the array.

    Args:
        images: uint8 (images, height, width).
        classes: int64 (images,) index into ``labels``.
        labels: names of the classes.
        splits: of the images.
    """

    def __init__(self, images: np.ndarray, classes: np.ndarray, labels: Sequence[str], splits: Splits) -> None:
        splits.check(len(images))
        layout = Format(size=(images.shape[1], images.shape[2]), channels=1, bits=8)
        self.signature = layout.signature(labels)
        self.preprocessing = layout.preprocessing()
        self.splits = splits
        self._images = images
        # what the pipeline makes of arrays of this size, without a detour through many small ones
        self._tensors = {"x": torch.from_numpy(images)[:, None], "y": torch.from_numpy(classes)}

    def split(self, name: str) -> TensorRows:
        """Rows of ``"train"``, ``"val"`` or ``"test"``."""
        return TensorRows(self._tensors, self.splits[name])

    def raw(self, name: str, indices: np.ndarray) -> list[Any]:
        """Arrays (height, width), uint8."""
        return list(self._images[self.splits[name][indices]])

    def resolved(self) -> dict[str, Any]:
        """Nothing is decided from the data."""
        return {}

    def statistics(self) -> Statistics:
        """Mean and deviation of the training pixels, in raw units."""
        return {"x": channel_statistics(self._tensors["x"], self.splits.train)}


def channel_statistics(x: Tensor, indices: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel over the pixels of some uint8 images, exactly.

    Args:
        x: uint8 (images, channels, height, width).
        indices: the training split.
    """
    counts = np.zeros((x.shape[1], 256))
    for start in range(0, len(indices), 4096):
        chunk = x.numpy()[indices[start : start + 4096]]
        for channel in range(x.shape[1]):
            counts[channel] += np.bincount(chunk[:, channel].reshape(-1), minlength=256)
    shares = counts / counts.sum(axis=1, keepdims=True)
    values = np.arange(256)
    return mean_and_deviation(shares @ values, shares @ values**2)


def mean_and_deviation(mean: np.ndarray, mean_square: np.ndarray) -> tuple[list[float], list[float]]:
    variance = mean_square - mean**2
    # what rounding leaves of a constant channel counts as nothing
    deviation = np.sqrt(np.where(variance > 1e-9 * np.maximum(mean_square, 1e-300), variance, 1.0))
    return mean.tolist(), deviation.tolist()


def each(
    items: Sequence[_T],
    work: Callable[[_T], _R],
    words: str,
    show_progress: bool,
    name: Callable[[_T], Any] = lambda item: item,
) -> list[_R]:
    """``work`` on every item with a thread pool; all that fail are reported together.

    Raises:
        DataError: up to ten names with reasons, and how many failed.
    """
    failed: list[str] = []

    def attempt(item: _T) -> _R | None:
        try:
            return work(item)
        except InputError as error:
            reason = error.reason.removeprefix(f"{name(item)}: ")
            failed.append(f"  {name(item)}: {reason}")
            return None

    results: list[_R] = []
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        # a window of submissions, so that a million paths are not a million futures
        source: Iterator[_T] = iter(items)
        report = _Progress(words, len(items), show_progress)
        while window := list(islice(source, 512)):
            results += [result for result in pool.map(attempt, window) if result is not None]
            report.advance(len(window))
        report.close()
    if failed:
        more = [f"  ... and {len(failed) - SHOWN} more"] if len(failed) > SHOWN else []
        raise DataError(
            "\n".join(
                [
                    f"{len(failed)} of {len(items)} images cannot be used; repair or remove them and start again:",
                    *sorted(failed)[:SHOWN],
                    *more,
                ]
            )
        )
    return results


class _Progress:
    """A bar on a terminal, plain lines elsewhere (standard error), from the second second on."""

    def __init__(self, words: str, total: int, show: bool) -> None:
        self.words, self.total, self.show = words, total, show
        self.done = 0
        self.next = time.monotonic() + 2
        self.bar: Any = None
        self.task: Any = None

    def advance(self, count: int) -> None:
        self.done += count
        if self.bar is not None:
            self.bar.update(self.task, completed=self.done)
        elif self.show and time.monotonic() >= self.next:
            self.next = time.monotonic() + 10
            if sys.stderr.isatty():
                self._open_bar()
            else:
                print(f"{self.words}: {self.done} of {self.total}", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.stop()

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self.task = self.bar.add_task(self.words, total=self.total, completed=self.done)
        self.bar.start()
