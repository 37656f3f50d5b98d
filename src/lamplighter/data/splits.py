"""Which rows train, which choose, which judge: seeded, stratified, and written down with a digest.

Splits that keep groups together or follow time are made by `lamplighter.data.split_rules`.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lamplighter.core import files, seeding
from lamplighter.core.errors import DataError

NAMES = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class Splits:
    """Row positions of the three splits, counted in the whole data set.

    Attributes:
        train: int64 positions, without repetition and shared with no other split.
        val: chooses the best epoch, calibrates, and becomes the monitor's reference.
        test: opened once, at the end.
        unused: rows in no split, left out on purpose: the locked test rows of a cross-validation, a gap in time.

    Raises:
        DataError: a split is empty, or a row stands in two places.

    >>> splits = stratified(np.array([0] * 10 + [1] * 10), (0.8, 0.1, 0.1), seed=0)
    >>> len(splits.train), len(splits.val), len(splits.test)
    (16, 2, 2)
    """

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    unused: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def __post_init__(self) -> None:
        for name in (*NAMES, "unused"):
            given = np.asarray(getattr(self, name))
            needed = name in NAMES
            if given.ndim != 1 or (needed and not len(given)) or not np.issubdtype(given.dtype, np.integer):
                raise DataError(f"the {name} split must be a non-empty list of row positions, not {_describe(given)}")
            positions = np.array(given, dtype=np.int64)
            positions.setflags(write=False)
            object.__setattr__(self, name, positions)
        together = np.concatenate([self.train, self.val, self.test, self.unused])
        if together.min() < 0:
            raise DataError(f"splits: row {together.min()} is negative; positions count from 0")
        values, counts = np.unique(together, return_counts=True)
        if counts.max() > 1:
            raise DataError(
                f"splits: row {values[counts.argmax()]} stands in more than one place; each row belongs once"
            )

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in NAMES:
            raise DataError(f"unknown split '{name}'; known: {', '.join(NAMES)}")
        positions: np.ndarray = getattr(self, name)
        return positions

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Splits) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def digest(self) -> str:
        """SHA-256 over names, lengths and positions; equal on every machine."""
        digest = hashlib.sha256()
        for name in NAMES:
            digest.update(f"{name}:{len(self[name])}:".encode())
            digest.update(self[name].astype("<i8").tobytes())
        if len(self.unused):
            digest.update(f"unused:{len(self.unused)}:".encode())
            digest.update(self.unused.astype("<i8").tobytes())
        return digest.hexdigest()

    def check(self, rows: int) -> None:
        """Refuse a split that was made for another number of rows.

        Args:
            rows: rows the data set has now.
        """
        made_for = len(self.train) + len(self.val) + len(self.test) + len(self.unused)
        highest = max(int(self[name].max()) for name in NAMES)
        highest = max(highest, int(self.unused.max(initial=0)))
        if made_for != rows or highest >= rows:
            raise DataError(
                f"the saved split covers {made_for} rows (up to row {highest}), the data has {rows} now; "
                "bring the old data back, or start a new run"
            )

    def save(self, path: Path) -> None:
        """Write an ``.npz`` file, atomically and without pickle."""

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:
                np.savez_compressed(
                    file,
                    allow_pickle=False,
                    train=self.train,
                    val=self.val,
                    test=self.test,
                    unused=self.unused,
                    digest=np.array(self.digest),
                )

        files.write_with(path, write)

    @classmethod
    def load(cls, path: Path) -> Splits:
        """Read what `save` wrote.

        Raises:
            DataError: no such file, not a splits file, or one whose digest does not match its rows.
        """
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
                unused = content["unused"] if "unused" in content.files else np.empty(0, np.int64)
                splits = cls(content["train"], content["val"], content["test"], unused)
                digest = str(content["digest"])
        except FileNotFoundError:
            raise DataError(f"{path}: no such file") from None
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        except (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: not a splits file ({error}); delete it to split anew") from None
        if digest != splits.digest:
            raise DataError(
                f"{path}: the digest does not match the rows: the file was changed; restore it, or split anew"
            )
        return splits


def stratified(y: np.ndarray | None, ratios: tuple[float, float, float], seed: int, rows: int | None = None) -> Splits:
    """Split rows at random, keeping every class's share.

    Each class has within one row of ``ratio * rows of the class`` in each split.

    Args:
        y: (rows,) class of each row (integers, booleans or text); ``None`` or floating point numbers: plain shuffle.
        ratios: shares of train, val and test; each above 0, sum 1.
        seed: the recipe's seed.
        rows: number of rows; needed when ``y`` is ``None``.

    Raises:
        DataError: ratios do not fit, or a split would be empty.
    """
    train, val, test = cut(y, ratios, seed, rows, names=NAMES)
    return Splits(train, val, test)


def cut(
    y: np.ndarray | None,
    ratios: Sequence[float],
    seed: int,
    rows: int | None = None,
    names: Sequence[str] = NAMES,
) -> list[np.ndarray]:
    """`stratified` into any number of parts; positions of each part, ascending.

    Args:
        y: as in `stratified`.
        ratios: share of each part.
        seed: the recipe's seed.
        rows: number of rows; needed when ``y`` is ``None``.
        names: what to call the parts in errors.
    """
    check_ratios(ratios, names)
    codes = _codes(y, rows)
    # rows in class order, shuffled within each class
    shuffled = seeding.generator(seed, "split").permutation(len(codes))
    in_classes = shuffled[np.argsort(codes[shuffled], kind="stable")]
    counts = _apportion(np.bincount(codes), np.asarray(ratios, dtype=np.float64))
    which = np.concatenate([np.repeat(np.arange(len(ratios)), row) for row in counts]) if len(codes) else codes
    parts = [np.sort(in_classes[which == part]).astype(np.int64) for part in range(len(ratios))]
    for name, part in zip(names, parts):
        if len(part) == 0:
            raise DataError(
                f"{len(codes)} rows are too few for split {tuple(ratios)}: the {name} split would be empty; "
                "add rows or give it a larger share"
            )
    return parts


def check_ratios(ratios: Sequence[float], names: Sequence[str]) -> None:
    """Refuse shares that are not one above 0 for each name, together 1.

    Raises:
        DataError: says which shares are needed.
    """
    if len(ratios) != len(names) or not (min(ratios) > 0 and abs(sum(ratios) - 1) < 1e-6):
        raise DataError(f"split {tuple(ratios)}: give {len(names)} shares above 0 that sum to 1 ({', '.join(names)})")


def _codes(y: np.ndarray | None, rows: int | None) -> np.ndarray:
    if y is None:
        if rows is None:
            raise TypeError("give y or rows")
        return np.zeros(rows, dtype=np.int64)
    if np.issubdtype(y.dtype, np.floating):
        return np.zeros(len(y), dtype=np.int64)
    return np.unique(y, return_inverse=True)[1].reshape(-1)


def _apportion(sizes: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    """Whole rows per class and part (classes, parts): each within one of its share, the parts' totals balanced.

    Shares are rounded down first; the rows left over in each class go to the parts that are furthest behind so far.
    """
    ideal = sizes[:, None] * (ratios / ratios.sum())
    counts = np.floor(ideal + 1e-9).astype(np.int64)
    behind = ideal.sum(axis=0) - counts.sum(axis=0)
    for of_class, share, size in zip(counts, ideal, sizes):
        for _ in range(int(size - of_class.sum())):
            open_parts = np.flatnonzero(share - of_class > 1e-9)
            part = open_parts[np.argmax(behind[open_parts])]
            of_class[part] += 1
            behind[part] -= 1
    return counts


def _describe(given: np.ndarray) -> str:
    return f"an array of shape {given.shape} and type {given.dtype}"
