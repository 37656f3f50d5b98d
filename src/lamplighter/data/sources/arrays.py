"""Arrays in memory: what ``lamp.fit(model=..., data=(x, y))`` trains on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from lamplighter.core.errors import DataError
from lamplighter.core.registry import FromData
from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.data import splits as splitting
from lamplighter.data.preprocessing.pipeline import Pipeline
from lamplighter.data.rows import TensorRows
from lamplighter.data.splits import NAMES, Splits

Pair = tuple[Any, Any]


class Arrays:
    """One array of inputs and one of targets, as numpy arrays or tensors; the network sees exactly these inputs.

    Whole or boolean ``y`` are classes (-1: no label), and so is text; floating point numbers are values to predict, one
    column for each, NaN for a blank. Instead of one pair three may be given, split already:
    ``{"train": (x, y), "val": (x, y), "test": (x, y)}``.

    Args:
        arrays: ``(x, y)`` or three pairs by name of the split.
        labels: names of the classes, in the order of their numbers; by default the numbers, or the texts of ``y``.
        split: shares of train, val and test, where one pair is given.
        seed: of the split.
        splits: a persisted split to use again.

    Raises:
        DataError: the arrays do not fit each other, hold something else than numbers, or labels do not fit.

    >>> source = Arrays((np.zeros((20, 3), np.float32), np.arange(20) % 2), split=(0.5, 0.25, 0.25))
    >>> source.signature.labels, len(source.split("train")), source.split("val").fetch(np.array([0]))["x"].shape
    (('0', '1'), 10, torch.Size([1, 3]))
    """

    def __init__(
        self,
        arrays: Annotated[Any, FromData],
        labels: tuple[str, ...] | None = None,
        split: tuple[float, float, float] = (0.7, 0.15, 0.15),
        seed: Annotated[int, FromData] = 0,
        splits: Annotated[Splits | None, FromData] = None,
    ) -> None:
        pairs, given = _pairs(arrays)
        x = torch.cat([pair[0] for pair in pairs]) if len(pairs) > 1 else pairs[0][0]
        y, names = _targets(np.concatenate([pair[1] for pair in pairs]), labels)
        self.notes = _blanks(y, bool(names))
        if given is None:
            given = splitting.stratified(y.numpy() if names else None, split, seed, rows=len(x))
        self.splits = splits if splits is not None else given
        self.splits.check(len(x))
        self.labels = names
        self._tensors = {"x": x, "y": y}
        self.preprocessing = Pipeline([])
        shape = tuple(x.shape[1:])
        targets = [Column(name="label", kind="category", categories=names)] if names else _numbers(y.shape[1])
        self.signature = Signature(
            inputs=(Column(name="x", kind="array", shape=shape),),
            tensors=(TensorSpec(name="x", dtype=str(x.dtype).removeprefix("torch."), shape=shape),),
            targets=tuple(targets),
        )

    def split(self, name: str) -> TensorRows:
        return TensorRows(self._tensors, self.splits[name])

    def raw(self, name: str, indices: np.ndarray) -> list[Any]:
        return list(self._tensors["x"].numpy()[self.splits[name][indices]])

    def resolved(self) -> dict[str, Any]:
        return {"labels": list(self.labels) if self.labels else None}


def _pairs(arrays: Any) -> tuple[list[tuple[Tensor, np.ndarray]], Splits | None]:
    if isinstance(arrays, Mapping):
        if set(arrays) != set(NAMES):
            raise DataError(f"data: give {', '.join(NAMES)}, not {', '.join(map(str, arrays)) or 'nothing'}")
        pairs = [_pair(arrays[name], f"data['{name}']") for name in NAMES]
        ends = np.cumsum([len(y) for _, y in pairs])
        parts = [np.arange(end - len(y), end) for (_, y), end in zip(pairs, ends)]
        return pairs, Splits(*parts)
    return [_pair(arrays, "data")], None


def _pair(pair: Any, where: str) -> tuple[Tensor, np.ndarray]:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise DataError(f"{where}: give a pair (x, y) of arrays")
    x, y = (part.detach().cpu().numpy() if isinstance(part, Tensor) else np.asarray(part) for part in pair)
    if x.dtype.kind not in "biuf" or x.ndim < 2:
        hint = "; give x[:, None] for one number a row" if x.ndim == 1 and x.dtype.kind in "biuf" else ""
        raise DataError(f"{where}: x must be numbers of shape (rows, ...), not {x.dtype} of shape {x.shape}{hint}")
    if len(x) != len(y):
        raise DataError(f"{where}: x has {len(x)} rows, y has {len(y)}")
    if x.dtype == np.float64:
        x = x.astype(np.float32)  # what networks compute in
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        row = int(np.argwhere(~np.isfinite(x))[0][0])
        raise DataError(f"{where}: x, row {row}: not all values are finite numbers")
    return torch.from_numpy(np.ascontiguousarray(x)), y


def _targets(y: np.ndarray, labels: tuple[str, ...] | None) -> tuple[Tensor, tuple[str, ...]]:
    """Class indices and labels, or numbers (rows, targets) and no labels."""
    if y.dtype.kind == "f":
        if labels is not None:
            raise DataError("labels: y holds floating point numbers, which are no classes; give y.astype(int)")
        numbers = y.astype(np.float32)
        return torch.from_numpy(numbers[:, None] if numbers.ndim == 1 else numbers), ()
    if y.ndim != 1:
        hint = "y[:, 0]" if y.ndim == 2 and y.shape[1] == 1 else "y.argmax(1), where each row has a 1 at its class"
        raise DataError(f"y: classes have the shape (rows,), not {y.shape}; give {hint}")
    if y.dtype.kind in "US":
        found = tuple(labels or sorted({str(text) for text in y}))
        strange = sorted({str(text) for text in y} - set(found))
        if strange:
            raise DataError(f"labels: y holds '{strange[0]}', which is not among {', '.join(found)}")
        return torch.from_numpy(np.array([found.index(str(text)) for text in y], np.int64)), found
    if y.dtype.kind not in "biu":
        raise DataError(f"y: give numbers or text, not {y.dtype}")
    classes = y.astype(np.int64)
    if labels is None and classes.max(initial=-1) > 0:
        missing = sorted(set(range(int(classes.max()))) - set(classes.tolist()))
        if missing:
            raise DataError(
                f"y: no row has class {missing[0]}, but there is class {classes.max()}; classes count from 0, and -1 "
                "means no label; give labels=... if some classes really have no rows, or (y > 0) for -1 and 1"
            )
    found = tuple(labels or map(str, range(int(classes.max(initial=0)) + 1)))
    if classes.max(initial=-1) >= len(found) or classes.min(initial=0) < -1:
        raise DataError(
            f"labels: y holds classes from {classes.min()} to {classes.max()}, there are {len(found)} labels"
        )
    return torch.from_numpy(classes), found


def _blanks(y: Tensor, classes: bool) -> list[str]:
    """A line about targets that are blank, for there may be more of them than meant."""
    blank = int((y < 0).sum() if classes else torch.isnan(y).sum())
    if not blank:
        return []
    what = "labels are -1, which means no label" if classes else "values to predict are NaN, which means blank"
    return [f"{blank:,} of {y.numel():,} {what}: they do not count"]


def _numbers(count: int) -> list[Column]:
    names = ["value"] if count == 1 else [f"value_{index}" for index in range(count)]
    return [Column(name=name, kind="numeric") for name in names]
