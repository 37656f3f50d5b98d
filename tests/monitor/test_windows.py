"""Windows follow each other without gap or overlap, and the alert moves with them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from lamplighter.monitor import windows
from lamplighter.monitor.drift.verdict import FeatureDrift, Finding
from lamplighter.monitor.service import Monitor

Feed = Callable[..., list[str]]
Start = Callable[..., Monitor]


def _history(monitor: Monitor) -> list[dict[str, Any]]:
    return monitor.store.latest_windows(monitor.manifest.name, monitor.manifest.version, 1000)[::-1]


def _alerts(monitor: Monitor) -> list[str]:
    return [a["state"] for a in monitor.store.latest_alerts(monitor.manifest.name, 100)][::-1]


def test_every_prediction_is_in_one_window(world: Any, start: Start, feed: Feed) -> None:
    monitor = start({"window": 100})
    feed(monitor, world.live[:450])
    assert monitor.flush()
    history = _history(monitor)
    assert [w["number"] for w in history] == [0, 1, 2, 3] and {w["n"] for w in history} == {100}
    assert all(b["first_seq"] == a["last_seq"] + 1 for a, b in pairwise(history))
    assert monitor.snapshot()["drift"]["waiting"] == 50


def test_one_alert_from_first_to_last_drifted_window(world: Any, start: Start, feed: Feed, clock: Any) -> None:
    monitor = start({"window": 100, "sinks": []})
    feed(monitor, world.live[:200], "a")
    monitor.flush()
    assert _alerts(monitor) == []
    clock.now += 100
    feed(monitor, world.noisy()[:300], "b")
    monitor.flush()
    assert _alerts(monitor) == ["firing"]
    (alert,) = monitor.store.latest_alerts("digits", 10)
    assert alert["started"] == clock.now and alert["details"]["window"] == 2 and alert["details"]["n"] == 100
    assert alert["details"]["features"] and alert["details"]["advice"]
    feed(monitor, world.live[200:400], "c")
    monitor.flush()
    assert _alerts(monitor) == ["resolved"]
    assert [w["drifted"] for w in _history(monitor)] == [0, 0, 1, 1, 1, 0, 0]


def test_a_detector_may_speak_of_what_is_no_column(world: Any, start: Start, feed: Feed) -> None:
    monitor = start({"window": 100})

    def pairs(reference: Any, current: np.ndarray, alpha: float, seed: int) -> Finding:
        names = ("brightness and contrast", "brightness")
        return Finding(0.001, 0.5, tuple(FeatureDrift(name, "pair", 1.0, 0.001, 0.001, 0.5) for name in names))

    monitor.windows._detectors = (*monitor.windows._detectors, pairs)
    feed(monitor, world.live[:100])
    assert monitor.flush() and monitor.failed_checks == 0
    latest = monitor.snapshot()["drift"]["latest"]
    assert (latest["drifted_features"], latest["total_features"]) == (2, 12)
    shown = {feature["name"]: feature.get("histograms") for feature in latest["features"]}
    assert shown["brightness and contrast"] is None and shown["brightness"]
    assert [finding["detector"] for finding in latest["findings"]] == ["Univariate", "MMD", "pairs"]


def test_persistence_waits_for_the_kth_window(world: Any, start: Start, feed: Feed) -> None:
    monitor = start({"window": 100, "persistence": 3})
    states = []
    for i in range(5):
        feed(monitor, world.noisy(seed=i)[:100], f"{i}-")
        monitor.flush()
        states.append(_alerts(monitor))
    assert states == [[], [], ["firing"], ["firing"], ["firing"]]


def test_a_restart_goes_on_with_position_and_alert(world: Any, start: Start, feed: Feed) -> None:
    first = start({"window": 100, "persistence": 2})
    feed(first, world.noisy()[:250], "a")
    first.flush()
    first.close()
    second = start({"window": 100, "persistence": 2})
    assert second.windows.number == 2 and second.totals()["predictions"] == 250
    feed(second, world.noisy(seed=1)[:50], "b")
    second.flush()
    assert [w["number"] for w in _history(second)] == [0, 1, 2]
    assert _alerts(second) == ["firing"]  # the same alert: neither a second one nor none


def test_two_processes_on_one_store_record_each_window_once(world: Any, start: Start, feed: Feed) -> None:
    monitors = [start({"window": 100}) for _ in range(2)]
    for i in range(4):
        feed(monitors[i % 2], world.noisy(seed=i)[:100], f"{i}-")
        for monitor in monitors:
            monitor.flush()
    assert [w["number"] for w in _history(monitors[0])] == [0, 1, 2, 3]
    assert _alerts(monitors[0]) == ["firing"]


def test_a_process_that_comes_late_takes_over_where_the_other_is(world: Any, start: Start, feed: Feed) -> None:
    late, early = start({"window": 100}), start({"window": 100})
    late.close()
    feed(early, world.noisy()[:300])
    early.flush()
    assert late.windows.number == 0
    assert not late.windows.run_next()  # this window is there already; its alert is not opened again
    assert late.windows.number == 3 and late.windows.pending() == 0
    assert _alerts(early) == ["firing"]


def test_a_backlog_is_skipped_but_for_its_newest_window(
    world: Any, start: Start, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "MAX_BACKLOG", 3)
    monitor = start({"window": 100})
    monitor._closing.set()  # nobody tests while rows pile up
    monitor._rounds.ask()
    monitor._checker.join()
    feed(monitor, np.concatenate([world.noisy()[:550], world.live[:100]]))
    monitor.writer.flush(10)
    monitor.windows.skip_to_newest()
    monitor.windows.run_next()
    assert monitor.windows.skipped == 5
    (window,) = _history(monitor)
    assert not window["drifted"] and window["last_seq"] == 650 and monitor.windows.pending() == 0


def test_a_failing_detector_costs_its_window_only(
    world: Any, start: Start, feed: Feed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = start({"window": 100})
    real = monitor.windows.check
    calls = []

    def failing(current: np.ndarray, seed: int) -> Any:
        calls.append(seed)
        if len(calls) == 1:
            raise ZeroDivisionError
        return real(current, seed)

    monkeypatch.setattr(monitor.windows, "check", failing)
    feed(monitor, world.live[:200])
    assert monitor.flush()
    assert monitor.totals()["failed_checks"] == 1 and monitor.windows.skipped == 1
    assert len(_history(monitor)) == 1 and "its window is left out" in caplog.text


def test_stored_verdicts_stay_small(world: Any, start: Start, feed: Feed) -> None:
    monitor = start({"window": 100})
    feed(monitor, world.live[:100])
    monitor.flush()
    verdict = monitor.snapshot()["drift"]["latest"]
    assert verdict["total_features"] == 11 and len(verdict["features"]) <= windows.SHOWN_FEATURES
    assert sum("histograms" in f for f in verdict["features"]) == windows.SHOWN_HISTOGRAMS
