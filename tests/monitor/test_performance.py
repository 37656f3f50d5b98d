"""Realised performance from late labels, against numbers computed by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lamplighter.bundle.manifest import Feature, Output
from lamplighter.bundle.runtime.reference import Reference
from lamplighter.core.recipe import Monitor as Settings
from lamplighter.metrics.intervals import wilson
from lamplighter.monitor.performance import performance
from lamplighter.monitor.service import Monitor


def test_accuracy_over_time_with_coverage_and_delay(
    world: Any, start: Callable[..., Monitor], feed: Callable[..., list[str]], clock: Any
) -> None:
    monitor = start({"window": 1000})
    _, scores = world.model(world.live[:300])
    wrong = scores.argmax(axis=1) != world.truth[:300]
    base = clock.now = 1_700_000_000.0
    for minute in range(3):
        clock.now = base + 60 * minute
        feed(monitor, world.live[100 * minute : 100 * (minute + 1)], prefix=f"{minute}-")
    clock.now = base + 600
    monitor.flush()
    pairs = [(f"{m}-{i}", str(world.truth[100 * m + i])) for m in range(3) for i in range(50 if m else 100)]
    assert monitor.feedback_many(pairs) == ["joined"] * 200
    found = performance(monitor.store, world.manifest)
    assert found["metric"] == "accuracy" and found["test"]["value"] == 0.9
    assert [p["n"] for p in found["points"]] == [100, 50, 50]
    assert [p["coverage"] for p in found["points"]] == [1.0, 0.5, 0.5]
    assert [round(p["delay"]) for p in found["points"]] == [600, 540, 480]
    for m, point in enumerate(found["points"]):
        hits = int((~wrong[100 * m : 100 * m + point["n"]]).sum())
        assert point["value"] == pytest.approx(hits / point["n"])
        assert (point["low"], point["high"]) == pytest.approx(wilson(hits, point["n"]))
    assert found["overall"]["n"] == 200 and found["overall"]["coverage"] == pytest.approx(2 / 3)
    # a late correction changes a past point
    first = found["points"][0]["value"]
    assert monitor.feedback("0-0", "7" if world.truth[0] != 7 else "1") == "updated"
    changed = performance(monitor.store, world.manifest)["points"][0]
    assert changed["n"] == 100 and abs(changed["value"] - first) == pytest.approx(0.01)


def test_mean_absolute_error_of_numbers(make_manifest: Any, store: Any, clock: Any) -> None:
    output = Output(kind="regression", targets=("price",))
    feature = Feature(name="size", kind="numeric", origin="column")
    rng = np.random.default_rng(0)
    size = rng.normal(size=(300, 1)).astype(np.float32)
    reference = Reference.build(size, 2 * size, [feature], output)
    monitor = Monitor(make_manifest((feature,), output), reference, Settings(window=100), store, clock=clock)
    monitor.record([f"r{i}" for i in range(100)], size[:100], 2 * size[:100], 0.001)
    noise = rng.normal(size=100)
    states = monitor.feedback_many([(f"r{i}", float(2 * size[i, 0] + noise[i])) for i in range(100)])
    assert states == ["joined"] * 100
    overall = performance(store, monitor.manifest)["overall"]
    assert overall["value"] == pytest.approx(np.abs(noise).mean(), rel=1e-5)
    half = 1.96 * np.abs(noise).std(ddof=1) / 10
    assert (overall["high"] - overall["low"]) / 2 == pytest.approx(half, rel=1e-3)
    assert monitor.snapshot()["mix"][0]["name"] == "prediction of price"
    monitor.close()


def test_no_labels_no_numbers(world: Any, store: Any) -> None:
    found = performance(store, world.manifest)
    assert found["overall"] is None and found["points"] == []
