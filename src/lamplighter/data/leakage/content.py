"""The rows of a source as arrays, for the checks: inputs of a table column by column, everything else as tensors."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from lamplighter.data.leakage.finding import rows_of, split_of_rows
from lamplighter.data.source import Source
from lamplighter.data.splits import NAMES

FEWEST_TOKENS = 8
"""Tokens, begin and end among them, from which on equal texts are no accident."""
_CHUNK = 4096
_DIGEST = 16


@dataclass(frozen=True)
class Content:
    """All rows of the three splits.

    Attributes:
        positions: (N,) of the rows, ascending.
        part: (N,) 0 train, 1 val, 2 test.
        columns: inputs of a table by name, (N,) each; None for other data.
        x: (N, ...) input tensor of other data; of texts a digest of the tokens (N, 16), zero for texts of less than
            `FEWEST_TOKENS`, which are equal by accident; None for a table.
        y: (N,) class or number, or (N, targets); of tags (N, longest), filled up with -1.
        classes: whether ``y`` are classes; -1 is a blank.
    """

    positions: np.ndarray
    part: np.ndarray
    columns: dict[str, np.ndarray] | None
    x: np.ndarray | None
    y: np.ndarray
    classes: bool

    @property
    def sizes(self) -> dict[str, int]:
        """Rows of each split."""
        return {name: int((self.part == number).sum()) for number, name in enumerate(NAMES)}


def read(source: Source) -> Content:
    """Everything the checks look at. Images that do not fit into memory are decoded once."""
    splits = rows_of(source)
    positions = np.sort(np.concatenate([splits[name] for name in NAMES]))
    part = split_of_rows(splits, int(positions[-1]) + 1)[positions]
    table = source.columns() if hasattr(source, "columns") else None
    columns = None if table is None else {name: array[positions] for name, array in table.items()}
    x, y = _tensors(source, inputs=columns is None)
    return Content(positions, part, columns, x, y, bool(source.signature.labels))


def in_memory(source: Source, limit: int) -> bool:
    """Whether all rows can be read at once without decoding, in at most ``limit`` bytes."""
    rows: Any = source.split("train")
    if getattr(rows, "decodes", False):
        return False
    tensors = source.signature.tensors
    size = sum(int(np.prod([s or 1 for s in t.shape])) * np.dtype(t.dtype).itemsize for t in tensors)
    size = _DIGEST if None in tensors[0].shape else size
    return size * sum(len(source.split(name)) for name in NAMES) <= limit


def _tensors(source: Source, inputs: bool) -> tuple[np.ndarray | None, np.ndarray]:
    """The first input tensor, if it is wanted, and the targets, in the order of ascending positions."""
    wanted = [*([source.signature.tensors[0].name] if inputs else []), "y"]
    found: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    for split in NAMES:
        rows = source.split(split)
        for start in range(0, len(rows), _CHUNK):
            batch = rows.fetch(np.arange(start, min(start + _CHUNK, len(rows))))
            for name in wanted:
                found[name].append(batch[name].numpy())
            if inputs and "original_size" in batch:
                found[wanted[0]][-1] = _digests_of_images(found[wanted[0]][-1], batch["original_size"].numpy())
            elif inputs and None in source.signature.tensors[0].shape:
                found[wanted[0]][-1] = _digests(found[wanted[0]][-1], batch["attention_mask"].numpy())
            if source.signature.targets[0].kind == "mask":
                found["y"][-1] = found["y"][-1].reshape(len(found["y"][-1]), -1).max(axis=1)  # masks are not compared
    order = np.argsort(np.concatenate([rows_of(source)[name] for name in NAMES]))
    together = {name: _stacked(parts)[order] for name, parts in found.items()}
    return (together[wanted[0]] if inputs else None), together["y"]


def _digests(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(N, 16) uint8, equal for equal rows of tokens."""
    found = np.zeros((len(ids), _DIGEST), dtype=np.uint8)
    for row, (own, real) in enumerate(zip(ids, mask)):
        if real.sum() >= FEWEST_TOKENS:
            digest = hashlib.blake2b(own[real].tobytes(), digest_size=_DIGEST).digest()
            found[row] = np.frombuffer(digest, np.uint8)
    return found


def _digests_of_images(x: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """(N, 16) uint8, equal for equal images whatever they were filled up to; images of one colour count for nothing."""
    found = np.zeros((len(x), _DIGEST), dtype=np.uint8)
    for row, (own, (height, width)) in enumerate(zip(x, sizes.tolist())):
        image = np.ascontiguousarray(own[:, :height, :width])
        if image.min() != image.max():
            content = f"{height} {width} ".encode() + image.tobytes()
            found[row] = np.frombuffer(hashlib.blake2b(content, digest_size=_DIGEST).digest(), np.uint8)
    return found


def _stacked(parts: list[np.ndarray]) -> np.ndarray:
    """One after the other; rows of different lengths filled up with -1."""
    if parts[0].ndim != 2 or len({part.shape[1] for part in parts}) == 1:
        return np.concatenate(parts)
    width = max(part.shape[1] for part in parts)
    return np.concatenate([np.pad(part, ((0, 0), (0, width - part.shape[1])), constant_values=-1) for part in parts])
