"""Histograms for people."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lamplighter.bundle.manifest import Feature, Output
from lamplighter.bundle.runtime.reference import Reference
from lamplighter.monitor.drift import Baseline
from lamplighter.monitor.histograms import histograms, plain


def test_numeric_shares_cover_both_samples() -> None:
    rng = np.random.default_rng(0)
    baseline = Baseline.from_rows(rng.normal(size=(500, 1)))
    found = histograms(baseline, 0, np.append(rng.normal(size=200) + 5, [np.nan, np.inf]))
    assert found is not None
    assert len(found["names"]) == len(found["reference"]) == len(found["current"]) == 20
    assert sum(found["reference"]) == pytest.approx(1, abs=1e-3) and sum(found["current"]) == pytest.approx(1, abs=1e-3)
    assert np.argmax(found["reference"]) < np.argmax(found["current"])


@pytest.mark.parametrize("fill", [0.0, np.nan, np.inf])
def test_constant_columns_have_a_picture_too(fill: float) -> None:
    found = histograms(Baseline.from_rows(np.full((30, 1), fill)), 0, np.full(30, fill))
    assert found is not None and len(found["names"]) == len(found["current"])


def test_categories_are_named_and_capped(world: Any) -> None:
    labels = tuple(f"c{i}" for i in range(40))
    spec = Feature(name="c", kind="category", origin="column", categories=labels)
    codes = np.random.default_rng(1).integers(0, 40, (400, 1)).astype(np.float32)
    output = Output(kind="classification", labels=("a", "b"))
    baseline = Baseline.from_reference(
        Reference.build(codes, np.eye(2)[codes[:, 0].astype(int) % 2], [spec], output), [spec], output
    )
    now = np.append(np.zeros(50), [99.0, np.nan])
    found = histograms(baseline, 0, now)
    assert found is not None and len(found["names"]) <= 12 and "c0" in found["names"]
    prediction = histograms(baseline, 1, np.ones(10))
    assert prediction == {"names": ["a", "b"], "reference": prediction["reference"], "current": [0.0, 1.0]}


def test_tenths_when_no_rows_are_kept(make_world: Any) -> None:
    world = make_world(keep_rows=False)
    baseline = Baseline.from_reference(world.reference, world.manifest.features, world.manifest.output)
    found = histograms(baseline, 0, world.live.mean(axis=1))
    assert found is not None and len(found["names"]) == 10
    assert found["reference"] == pytest.approx([0.1] * 10, abs=0.02)


def test_bounds_are_written_for_people() -> None:
    rows = np.linspace(10_000, 25_000, 300)[:, None]
    found = histograms(Baseline.from_rows(rows), 0, rows[:, 0])
    assert found is not None
    assert found["names"][1] == "10,885 to 11,620"
    assert plain(100_004.0) == "100,004" and plain(-12_345.6) == "-12,346" and plain(1000.0) == "1,000"
