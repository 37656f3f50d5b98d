"""What was normal: rows or histograms of the columns that drift tests compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from lamplighter.bundle.manifest import Feature
from lamplighter.bundle.runtime import kinds
from lamplighter.bundle.runtime import reference as bundled
from lamplighter.core.errors import DataError

if TYPE_CHECKING:
    from lamplighter.bundle.manifest import Output
    from lamplighter.bundle.runtime.reference import Reference

DECILES = np.arange(1, 10) / 10
_NUMERIC = Feature(name="", kind="numeric", origin="column")


@dataclass(frozen=True)
class Column:
    """One number watched for each row.

    Attributes:
        name: shown to people.
        kind: ``category`` values are codes.
        categories: names of the codes 0, 1, ...; the code ``len(categories)`` means unseen. Empty: unknown.
    """

    name: str
    kind: Literal["numeric", "category"]
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class Baseline:
    """The reference of a drift check.

    Attributes:
        columns: D of them.
        rows: (R, D) float64, NaN for missing; None when only histograms are kept.
        edges: for each column the inner bin edges (empty for categories).
        counts: for each column the rows in each cell, the last cell counting missing values; None when unknown.
        n: rows the reference was made from.
    """

    columns: tuple[Column, ...]
    rows: np.ndarray | None
    edges: tuple[np.ndarray, ...]
    counts: tuple[np.ndarray | None, ...]
    n: int

    @classmethod
    def from_rows(
        cls, rows: np.ndarray, kinds: Sequence[str] | None = None, names: Sequence[str] | None = None
    ) -> Baseline:
        """A reference from a (R, D) array.

        Args:
            rows: numbers; NaN is missing.
            kinds: ``"numeric"`` or ``"category"`` for each column; numeric when left out.
            names: of the columns; ``"0"``, ``"1"``, ... when left out.
        """
        rows = matrix(rows, "reference")
        width = rows.shape[1]
        kinds = ["numeric"] * width if kinds is None else list(kinds)
        names = [str(j) for j in range(width)] if names is None else list(names)
        if len(kinds) != width or len(names) != width or set(kinds) - {"numeric", "category"}:
            raise DataError(f"give one name and one kind ('numeric' or 'category') for each of the {width} columns")
        columns = tuple(Column(n, "category" if k == "category" else "numeric") for n, k in zip(names, kinds))
        edges = tuple(_deciles(rows[:, j]) if c.kind == "numeric" else np.empty(0) for j, c in enumerate(columns))
        counts = tuple(histogram(rows[:, j], e) if e.size else None for j, e in enumerate(edges))
        return cls(columns, rows, edges, counts, len(rows))

    @classmethod
    def from_reference(cls, reference: Reference, features: Sequence[Feature], output: Output) -> Baseline:
        """The reference of a bundle, with the model's predictions as further columns.

        Args:
            reference: ``Bundle.reference``.
            features: ``Manifest.features``.
            output: ``Manifest.output``.
        """
        columns = [Column(f.name, f.kind, f.categories) for f in features]
        edges = [np.asarray(e, dtype=np.float64) for e in reference.edges]
        counts: list[np.ndarray | None] = [np.asarray(c, dtype=np.int64) for c in reference.counts]
        rows = None
        if reference.features is not None and reference.outputs is not None:
            predicted = predictions(np.asarray(reference.outputs), output)
            rows = np.column_stack([np.asarray(reference.features, dtype=np.float64), predicted])
        kind = kinds.of(output)
        if kind.classes:
            columns.append(Column("prediction", "category", output.labels))
            edges.append(np.empty(0))
            counts.append(np.append(np.asarray(reference.class_counts, dtype=np.int64), [0, 0]))
        else:
            for j, target in enumerate(kind.columns):
                columns.append(Column(f"prediction of {target}", "numeric"))
                values = None if rows is None else rows[:, len(features) + j]
                edges.append(np.empty(0) if values is None else _deciles(values))
                counts.append(None if values is None else histogram(values, edges[-1]))
        return cls(tuple(columns), rows, tuple(edges), tuple(counts), int(reference.n))

    def cells(self, j: int, values: np.ndarray) -> np.ndarray:
        """Rows of ``values`` in each cell of column ``j``, laid out as ``counts[j]``."""
        column = self.columns[j]
        if column.kind == "numeric":
            return histogram(values, self.edges[j])
        spec = Feature(name=column.name, kind="category", origin="column", categories=column.categories)
        return bundled.histogram(values, spec, self.edges[j])


def predictions(outputs: np.ndarray, output: Output) -> np.ndarray:
    """Predictions as columns: class codes (N, 1) of probabilities (N, K), or the numbers (N, K) themselves."""
    outputs = np.asarray(outputs, dtype=np.float64)
    if not kinds.of(output).classes:
        return outputs
    broken = ~np.isfinite(outputs).all(axis=1)
    codes = output.classes(np.where(broken[:, None], 0.0, outputs)).astype(np.float64)
    return np.where(broken, np.nan, codes)[:, None]


def histogram(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Rows in each of ``len(edges) + 1`` bins (a value equal to an edge belongs above it), then missing ones."""
    return bundled.histogram(values, _NUMERIC, edges)


def matrix(values: np.ndarray, role: str) -> np.ndarray:
    """A (rows, columns) float64 array, or a clear error."""
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{role}: drift is tested on numbers, not on {array.dtype}; give categories as codes")
    if array.ndim != 2 or array.shape[1] == 0:
        raise DataError(f"{role}: give a 2-D array (rows, columns), not one of shape {array.shape}")
    return array.astype(np.float64)


def _deciles(values: np.ndarray) -> np.ndarray:
    """Nine inner edges that cut the finite values into tenths; empty when there are none."""
    finite = values[np.isfinite(values)]
    return np.quantile(finite, DECILES) if finite.size else np.empty(0)
