"""``reference.npz``: what the validation rows looked like to the model, for the monitor to compare live traffic with.

Legend: N validation rows, R rows kept, F features, K classes or targets.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lamplighter.bundle.manifest import Feature, Output
from lamplighter.bundle.runtime import kinds
from lamplighter.core import files
from lamplighter.core.errors import BundleError
from lamplighter.core.seeding import generator

_KEYS = {"n", "edges", "edge_counts", "counts", "count_counts", "class_counts"}
_ROW_KEYS = {"features", "outputs"}


@dataclass(frozen=True)
class Reference:
    """Statistics of the validation split, and some of its rows.

    Attributes:
        n: validation rows that were counted.
        features: float32 (R, F), or ``None`` when the recipe keeps no rows.
        outputs: float32 (R, K) probabilities or values of the same rows, or ``None``.
        edges: for each feature the inner edges of its bins: deciles, without repeats; empty for categories.
        counts: for each feature the rows in each bin, see `histogram`; they sum to ``n``.
        class_counts: int64 (K,) how often each class was predicted; empty for regression.
    """

    n: int
    features: np.ndarray | None = field(repr=False)
    outputs: np.ndarray | None = field(repr=False)
    edges: list[np.ndarray] = field(repr=False)
    counts: list[np.ndarray] = field(repr=False)
    class_counts: np.ndarray

    @classmethod
    def build(
        cls,
        features: np.ndarray,
        outputs: np.ndarray,
        feature_specs: Sequence[Feature],
        output: Output,
        max_rows: int = 1000,
        seed: int = 0,
        keep_rows: bool = True,
    ) -> Reference:
        """Count all rows, keep a random sample of them.

        Args:
            features: (N, F) as `Bundle.features` gives them.
            outputs: (N, K) as `Bundle.scores_of` gives them.
            feature_specs: one for each column of ``features``.
            output: tells classes from values.
            max_rows: rows kept at most.
            seed: of the sample.
            keep_rows: false keeps statistics only.

        >>> rows = np.arange(20, dtype=np.float32)[:, None]
        >>> spec = Feature(name="age", kind="numeric", origin="column")
        >>> made = Reference.build(rows, rows, [spec], Output(kind="regression", targets=("y",)), max_rows=5)
        >>> made.n, made.features.shape, made.counts[0].tolist()
        (20, (5, 1), [2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 0])
        """
        features = np.asarray(features, np.float32)
        outputs = np.asarray(outputs, np.float32)
        if len(features) != len(outputs) or features.shape[1] != len(feature_specs):
            raise BundleError(
                f"features {features.shape}, outputs {outputs.shape} and {len(feature_specs)} specs do not fit"
            )
        edges = [_edges(column, spec) for column, spec in zip(features.T, feature_specs)]
        size = outputs.shape[1] if kinds.of(output).classes else 0
        classes = output.classes(outputs) if size else np.empty(0, np.int64)
        kept = np.sort(generator(seed, "reference").permutation(len(features))[:max_rows])
        return cls(
            n=len(features),
            features=features[kept] if keep_rows else None,
            outputs=outputs[kept] if keep_rows else None,
            edges=edges,
            counts=[histogram(c, s, e) for c, s, e in zip(features.T, feature_specs, edges)],
            class_counts=np.bincount(classes, minlength=size).astype(np.int64),
        )

    def save(self, path: Path) -> None:
        """Write the file, whole. Equal references give equal bytes."""
        arrays: dict[str, Any] = {
            "n": np.int64(self.n),
            "edges": _joined(self.edges, np.float32),
            "edge_counts": np.array([len(part) for part in self.edges], np.int64),
            "counts": _joined(self.counts, np.int64),
            "count_counts": np.array([len(part) for part in self.counts], np.int64),
            "class_counts": self.class_counts.astype(np.int64),
        }
        if self.features is not None and self.outputs is not None:
            arrays |= {"features": self.features, "outputs": self.outputs}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        files.write_bytes(path, buffer.getvalue())

    @classmethod
    def from_bytes(cls, content: bytes) -> Reference:
        """Read what `save` wrote.

        Raises:
            BundleError: these are not the bytes of a reference.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        except (ValueError, OSError, EOFError, zipfile.BadZipFile, AttributeError) as error:
            raise BundleError(f"reference.npz cannot be read: {error}") from None
        if not arrays.keys() >= _KEYS or arrays.keys() - _KEYS not in (set(), _ROW_KEYS):
            raise BundleError(f"reference.npz holds {', '.join(sorted(arrays))}; expected {', '.join(sorted(_KEYS))}")
        return cls(
            n=int(arrays["n"]),
            features=arrays.get("features"),
            outputs=arrays.get("outputs"),
            edges=_parted(arrays["edges"], arrays["edge_counts"]),
            counts=_parted(arrays["counts"], arrays["count_counts"]),
            class_counts=arrays["class_counts"],
        )


def histogram(values: np.ndarray, spec: Feature, edges: np.ndarray) -> np.ndarray:
    """Rows in each bin of one feature; the monitor counts live rows with this very function.

    Args:
        values: float32 (N,), NaN where missing.
        spec: its description.
        edges: inner bin edges; a value equal to an edge belongs above it.

    Returns:
        int64: numeric: ``len(edges) + 1`` bins, then missing; category: each category, unseen, missing.

    >>> colour = Feature(name="colour", kind="category", origin="column", categories=("red", "blue"))
    >>> histogram(np.array([0, 0, 2, np.nan]), colour, np.empty(0)).tolist()
    [2, 0, 1, 1]
    """
    missing = np.isnan(values)
    present = values[~missing]
    if spec.kind == "category":
        unseen = len(spec.categories)
        bins = np.clip(present, 0, unseen).astype(np.int64)
        size = unseen + 1
    else:
        bins = np.searchsorted(edges, present, side="right")
        size = len(edges) + 1
    return np.append(np.bincount(bins, minlength=size), missing.sum()).astype(np.int64)


def _edges(values: np.ndarray, spec: Feature) -> np.ndarray:
    present = values[~np.isnan(values)]
    if spec.kind == "category" or not len(present):
        return np.empty(0, np.float32)
    # Values of the data themselves: interpolation would turn infinities into NaN.
    return np.unique(np.sort(present)[np.arange(1, 10) * len(present) // 10])


def _joined(parts: list[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([np.empty(0, dtype), *parts]).astype(dtype)


def _parted(joined: np.ndarray, sizes: np.ndarray) -> list[np.ndarray]:
    if sizes.sum() != len(joined):
        raise BundleError("reference.npz is inconsistent: its histograms do not add up")
    return np.split(joined, np.cumsum(sizes)[:-1]) if len(sizes) else []
