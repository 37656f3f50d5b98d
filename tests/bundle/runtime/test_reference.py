"""The reference counts every row once and survives the disk."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamplighter.bundle.manifest import Feature, Output
from lamplighter.bundle.runtime.reference import Reference, histogram
from lamplighter.core.errors import BundleError
from lamplighter.core.seeding import generator

AGE = Feature(name="age", kind="numeric", origin="column")
CITY = Feature(name="city", kind="category", origin="column", categories=("Rome", "Oslo"))
CLASSES = Output(kind="classification", labels=("a", "b", "c"))


def rows(n: int = 2500) -> tuple[np.ndarray, np.ndarray]:
    rng = generator(0, "rows")
    age = rng.normal(40, 10, n)
    age[::50] = np.nan
    city = rng.choice([0, 1, 2, np.nan], n, p=[0.6, 0.2, 0.1, 0.1])
    scores = rng.dirichlet([1, 2, 3], n)
    return np.stack([age, city], axis=1).astype(np.float32), scores.astype(np.float32)


def built(n: int = 2500, **options: object) -> Reference:
    features, outputs = rows(n)
    return Reference.build(features, outputs, [AGE, CITY], CLASSES, **options)  # type: ignore[arg-type]


def test_every_row_is_counted_once() -> None:
    features, outputs = rows()
    reference = built()
    assert reference.n == 2500
    assert [int(counts.sum()) for counts in reference.counts] == [2500, 2500]
    assert reference.class_counts.tolist() == np.bincount(outputs.argmax(axis=1), minlength=3).tolist()
    city = features[:, 1]
    assert reference.counts[1].tolist() == [*((city == code).sum() for code in (0, 1, 2)), np.isnan(city).sum()]
    assert reference.edges[1].tolist() == []


def test_numeric_bins_are_deciles() -> None:
    features, _ = rows()
    reference = built()
    present = features[:, 0][~np.isnan(features[:, 0])]
    assert len(reference.edges[0]) == 9
    assert reference.counts[0][-1] == 50
    assert abs(reference.counts[0][:-1] - len(present) / 10).max() <= 1
    for edge, share in zip(reference.edges[0], np.arange(1, 10) / 10):
        assert (present < edge).mean() == pytest.approx(share, abs=1.01 / len(present))


@pytest.mark.parametrize(
    ("values", "edges", "counts"),
    [
        ([5.0, 5.0, 5.0], [5.0], [0, 3, 0]),
        ([np.nan, np.nan], [], [0, 2]),
        ([0.0, 1.0, 1.0, np.inf, -np.inf], [-np.inf, 0.0, 1.0, np.inf], [0, 1, 1, 2, 1, 0]),
    ],
)
def test_constant_missing_and_infinite_columns(values: list[float], edges: list[float], counts: list[int]) -> None:
    column = np.array(values, np.float32)[:, None]
    reference = Reference.build(column, np.ones((len(values), 1)), [AGE], Output(kind="regression", targets=("y",)))
    assert reference.edges[0].tolist() == edges
    assert reference.counts[0].tolist() == counts
    assert reference.class_counts.tolist() == []


def test_an_edge_belongs_above_and_codes_beyond_the_vocabulary_are_unseen() -> None:
    edges = np.array([1.0, 2.0], np.float32)
    assert histogram(np.array([0.9, 1.0, 2.0, 5.0, np.nan], np.float32), AGE, edges).tolist() == [1, 1, 2, 1]
    assert histogram(np.array([0, 1, 2, 7], np.float32), CITY, np.empty(0)).tolist() == [1, 1, 2, 0]


def test_a_sample_of_rows_is_kept_features_beside_their_outputs() -> None:
    features, outputs = rows()
    reference = built(seed=4)
    assert reference.features is not None
    assert reference.outputs is not None
    assert reference.features.shape == (1000, 2)
    assert reference.features.dtype == reference.outputs.dtype == np.float32
    position = {row.tobytes(): i for i, row in enumerate(outputs)}
    kept = [position[row.tobytes()] for row in reference.outputs]
    assert len(set(kept)) == 1000
    np.testing.assert_array_equal(reference.features, features[kept])
    assert kept != list(range(1000))
    again, other = built(seed=4), built(seed=5)
    assert again.features is not None and other.features is not None
    np.testing.assert_array_equal(again.features, reference.features)
    assert not np.array_equal(other.features, reference.features, equal_nan=True)
    few = built(30).features
    assert few is not None and len(few) == 30


@pytest.mark.parametrize("keep_rows", [True, False])
def test_round_trip(tmp_path: Path, keep_rows: bool) -> None:
    reference = built(keep_rows=keep_rows)
    reference.save(tmp_path / "reference.npz")
    again = Reference.from_bytes((tmp_path / "reference.npz").read_bytes())
    assert again.n == reference.n
    for ours, theirs in zip([*again.edges, *again.counts], [*reference.edges, *reference.counts]):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(again.class_counts, reference.class_counts)
    if keep_rows:
        assert again.features is not None and again.outputs is not None
        np.testing.assert_array_equal(again.features, reference.features)
        np.testing.assert_array_equal(again.outputs, reference.outputs)
    else:
        assert again.features is None and again.outputs is None
    first = (tmp_path / "reference.npz").read_bytes()
    again.save(tmp_path / "reference.npz")
    assert (tmp_path / "reference.npz").read_bytes() == first


def _archive(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read"),
        (b"hello", "cannot be read"),
        (_archive(n=np.array([{"an": "object"}], dtype=object)), "cannot be read"),
        (_archive(n=np.array(3)), "holds n; expected"),
    ],
)
def test_bytes_that_are_no_reference(content: bytes, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        Reference.from_bytes(content)


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(BundleError, match="do not fit"):
        Reference.build(np.zeros((3, 2)), np.zeros((4, 3)), [AGE, CITY], CLASSES)
