"""The numbers of the live page."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sqlalchemy.exc import OperationalError

from lamplighter.bundle.manifest import Feature, Output
from lamplighter.bundle.runtime.reference import Reference
from lamplighter.monitor.service import Monitor


def test_before_the_first_prediction(start: Callable[..., Monitor]) -> None:
    snapshot = start().snapshot()
    json.dumps(snapshot, allow_nan=False)
    assert snapshot["totals"]["predictions"] == 0 and snapshot["drift"]["latest"] is None
    assert snapshot["mix"][0]["n"] == 0 and snapshot["performance"]["overall"] is None and snapshot["alerts"] == []


def test_after_some(world: Any, start: Callable[..., Monitor], feed: Callable[..., list[str]], clock: Any) -> None:
    monitor = start()
    ids = feed(monitor, world.live[:150])
    clock.now += 10
    monitor.flush()
    monitor.feedback_many([(id_, str(y)) for id_, y in zip(ids, world.truth)])
    monitor._snapshots._performance_due = 0
    snapshot = monitor.snapshot()
    json.dumps(snapshot, allow_nan=False)
    assert snapshot["totals"]["predictions"] == snapshot["mix"][0]["n"] == snapshot["recent"]["n"] == 150
    assert snapshot["recent"]["rate"] == pytest.approx(15) and snapshot["recent"]["p50"] == pytest.approx(
        0.004, rel=0.05
    )
    assert snapshot["windows_per_day"] == pytest.approx(15 * 86400 / 100)
    shares = np.bincount(world.model(world.live[:150])[1].argmax(axis=1), minlength=10) / 150
    np.testing.assert_allclose(snapshot["mix"][0]["current"], shares, atol=1e-5)
    reference = world.reference.class_counts / world.reference.n
    np.testing.assert_allclose(snapshot["mix"][0]["reference"], reference, atol=1e-5)
    assert snapshot["drift"]["waiting"] == 50 and len(snapshot["drift"]["history"]) == 1
    assert snapshot["performance"]["overall"]["n"] == 150
    assert snapshot["model"]["reference_rows"] == 400


def test_traffic_and_mix_survive_a_restart(
    world: Any, start: Callable[..., Monitor], feed: Callable[..., list[str]], clock: Any
) -> None:
    first = start()
    feed(first, world.live[:90])
    first.close()
    clock.now += 100
    snapshot = start().snapshot()
    assert snapshot["mix"][0]["n"] == 90 and snapshot["totals"]["predictions"] == 90
    assert sum(snapshot["traffic"]["rate"]) * snapshot["traffic"]["width"] == pytest.approx(90)


def test_many_classes_are_lumped(make_manifest: Any, start: Callable[..., Monitor]) -> None:
    labels = tuple(f"class {i}" for i in range(200))
    output = Output(kind="classification", labels=labels)
    rng = np.random.default_rng(0)
    feature = Feature(name="a", kind="numeric", origin="column")
    rows, scores = rng.normal(size=(300, 1)), rng.dirichlet(np.full(200, 0.1), 300)
    monitor = start(
        manifest=make_manifest((feature,), output), reference=Reference.build(rows, scores, [feature], output)
    )
    monitor.record([str(i) for i in range(300)], rows, scores, 0.001)
    monitor.flush()
    (mix,) = monitor.snapshot()["mix"]
    assert len(mix["names"]) == 12 and mix["names"][-1] == "189 others"
    assert sum(mix["current"]) == pytest.approx(1, abs=1e-4) and sum(mix["reference"]) == pytest.approx(1, abs=1e-4)


def test_a_store_in_trouble_is_said_and_the_rest_still_shown(
    world: Any, start: Callable[..., Monitor], feed: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = start()
    feed(monitor, world.live[:100])
    monitor.flush()
    before = monitor.snapshot()

    def fail(*_: Any) -> None:
        raise OperationalError("SELECT", {}, Exception("disk I/O error"))

    with monkeypatch.context() as patch:
        patch.setattr(monitor.store, "latest_windows", fail)
        during = monitor.snapshot()
    assert "disk I/O error" in during["trouble"] and during["drift"] == before["drift"]
    assert during["recent"]["n"] == 100 and monitor.snapshot()["trouble"] == ""


def test_a_store_in_trouble_from_the_start(start: Callable[..., Monitor], monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = start()

    def fail(*_: Any) -> None:
        raise OperationalError("SELECT", {}, Exception("locked"))

    monkeypatch.setattr(monitor.store, "latest_windows", fail)
    snapshot = monitor.snapshot()
    assert snapshot["trouble"] and snapshot["drift"]["latest"] is None and snapshot["alerts"] == []
