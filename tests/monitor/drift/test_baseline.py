"""References from rows and from bundles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lamplighter.bundle.manifest import Feature, Output
from lamplighter.bundle.runtime.reference import Reference
from lamplighter.bundle.runtime.reference import histogram as reference_histogram
from lamplighter.core.errors import DataError
from lamplighter.monitor.drift import Baseline
from lamplighter.monitor.drift.baseline import predictions


def test_counts_live_rows_as_the_bundle_counted_its_own(world: Any) -> None:
    baseline = Baseline.from_reference(world.reference, world.manifest.features, world.manifest.output)
    features, _ = world.model(world.live)
    features[3, 0] = np.nan
    for j, spec in enumerate(world.manifest.features):
        expected = reference_histogram(features[:, j], spec, world.reference.edges[j])
        np.testing.assert_array_equal(baseline.cells(j, features[:, j].astype(np.float64)), expected)


def test_category_cells_know_unseen_and_missing() -> None:
    spec = Feature(name="colour", kind="category", origin="column", categories=("red", "blue"))
    values = np.array([[0], [1], [2], [7], [np.nan], [0]], dtype=np.float32)
    output = Output(kind="regression", targets=("price",))
    reference = Reference.build(values, values, [spec], output)
    baseline = Baseline.from_reference(reference, [spec], output)
    assert baseline.cells(0, values[:, 0].astype(float)).tolist() == [2, 1, 2, 1]
    assert [column.name for column in baseline.columns] == ["colour", "prediction of price"]


def test_predictions_are_a_column_of_the_family(world: Any) -> None:
    baseline = Baseline.from_reference(world.reference, world.manifest.features, world.manifest.output)
    assert baseline.columns[-1].name == "prediction"
    assert baseline.counts[-1].tolist() == [*world.reference.class_counts.tolist(), 0, 0]
    assert baseline.rows is not None and baseline.rows.shape == (400, 11)
    assert predictions(np.array([[0.1, 0.9], [np.nan, 1]]), Output(kind="classification", labels=("a", "b")))[
        :, 0
    ].tolist() == pytest.approx([1, np.nan], nan_ok=True)


@pytest.mark.parametrize("bad", [np.zeros(3), np.zeros((3, 0)), np.array([["a"]]), np.array([[None]])])
def test_refuses_what_is_no_table_of_numbers(bad: np.ndarray) -> None:
    with pytest.raises(DataError, match="reference: "):
        Baseline.from_rows(bad)


def test_refuses_wrong_kinds() -> None:
    with pytest.raises(DataError, match="2 columns"):
        Baseline.from_rows(np.zeros((3, 2)), kinds=["numeric"])
    with pytest.raises(DataError, match="'numeric' or 'category'"):
        Baseline.from_rows(np.zeros((3, 1)), kinds=["text"])


def test_there_is_one_way_of_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = Feature(name="colour", kind="category", origin="column", categories=("red", "blue"))
    number = Feature(name="age", kind="numeric", origin="column")
    values = np.array([[0, 1], [1, 2], [2, np.nan], [np.nan, 4]], dtype=np.float32)
    output = Output(kind="regression", targets=("price",))
    baseline = Baseline.from_reference(
        Reference.build(values, values[:, 1:], [spec, number], output), [spec, number], output
    )
    monkeypatch.setattr("lamplighter.bundle.runtime.reference.histogram", lambda values, spec, edges: spec.kind)
    assert [baseline.cells(j, values[:, j].astype(float)) for j in range(2)] == ["category", "numeric"]
