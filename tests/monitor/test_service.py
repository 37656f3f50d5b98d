"""The whole monitor on a stream of real digits."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy.exc import OperationalError

from lamplighter.core.recipe import Monitor as Settings
from lamplighter.monitor.service import Monitor
from lamplighter.monitor.store import Store, open_store

Feed = Callable[..., list[str]]
Start = Callable[..., Monitor]


def _alerts(monitor: Monitor) -> int:
    return len(monitor.snapshot()["alerts"])


@pytest.mark.slow
def test_twenty_clean_streams_raise_two_alarms_at_most(make_world: Any, tmp_path: Path, feed: Feed) -> None:
    alarms = drifted = windows = 0
    for seed in range(20):
        world = make_world(seed)
        store = open_store(f"sqlite:///{tmp_path / str(seed)}.db")
        monitor = Monitor(world.manifest, world.reference, Settings(sinks=()), store)
        feed(monitor, world.live, model=world.model)
        assert monitor.flush(60)
        history = monitor.snapshot()["drift"]["history"]
        alarms += _alerts(monitor) > 0
        drifted += sum(window["drifted"] for window in history)
        windows += len(history)
        monitor.close()
        store.close()
    assert windows == 40 and alarms <= 2 and drifted <= 5


def test_clean_digits_are_quiet_and_spoiled_ones_alarm_within_two_windows(
    world: Any, start: Start, feed: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = start({"window": 100})
    feed(monitor, world.live[:300], "clean")
    monitor.flush()
    assert _alerts(monitor) == 0
    with caplog.at_level(logging.WARNING, "lamplighter.alerts"):
        feed(monitor, world.noisy(4.0)[:200], "noise")
        monitor.flush()
    assert _alerts(monitor) == 1
    assert caplog.text.count("data-drift firing: model 'digits' version 1") == 1


def test_turned_digits_alarm(world: Any, start: Start, feed: Feed) -> None:
    from scipy import ndimage

    turned = ndimage.rotate(world.live.reshape(-1, 8, 8), 20, axes=(1, 2), reshape=False, order=1).reshape(-1, 64)
    monitor = start({"window": 100})
    feed(monitor, turned[:200])
    monitor.flush()
    assert _alerts(monitor) == 1


def test_a_reference_without_rows_serves_as_well(make_world: Any, start: Start, feed: Feed) -> None:
    summary = make_world(keep_rows=False)
    monitor = start({"window": 100}, reference=summary.reference)
    feed(monitor, summary.live[:200], "clean")
    monitor.flush()
    assert _alerts(monitor) == 0
    feed(monitor, summary.noisy()[:100], "noise")
    monitor.flush()
    assert _alerts(monitor) == 1


def test_check_judges_the_newest_window_and_changes_nothing(world: Any, start: Start, feed: Feed) -> None:
    monitor = start({"window": 200})
    assert monitor.check().reason.startswith("too few rows: 400 in the reference, 0 now")
    feed(monitor, world.noisy()[:150])
    verdict = monitor.check()
    assert verdict.drifted and verdict.n_current == 150
    assert _alerts(monitor) == 0 and monitor.windows.number == 0


def test_recording_does_not_wait_for_the_store(world: Any, start: Start, tmp_path: Path) -> None:
    monitor = start({"window": 1000}, max_queue=500)
    features, scores = world.model(world.live[:1])
    lock = sqlite3.connect(tmp_path / "monitor.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    spent = []
    for i in range(3000):
        begin = time.perf_counter()
        monitor.record([str(i)], features, scores, 0.001)
        spent.append(time.perf_counter() - begin)
    assert np.median(spent) < 200e-6
    assert monitor.totals()["dropped"] == 2500 and monitor.totals()["waiting"] == 500
    lock.execute("ROLLBACK")
    lock.close()
    assert monitor.flush(30) and monitor.totals()["predictions"] == 500


def test_wrong_shapes_are_refused_and_nothing_is_poisoned(world: Any, start: Start, feed: Feed) -> None:
    monitor = start()
    with pytest.raises(ValueError, match="shapes"):
        monitor.record(["a"], np.zeros((1, 3)), np.zeros((1, 10)), 0.001)
    feed(monitor, world.live[:10])
    assert monitor.flush() and monitor.totals()["predictions"] == 10


def test_outputs_that_are_not_numbers_are_stored_and_tested(world: Any, start: Start) -> None:
    monitor = start({"window": 100})
    features, scores = (part.copy() for part in world.model(world.live[:100]))
    features[::2] = np.nan
    scores[::2] = np.nan
    monitor.record([str(i) for i in range(100)], features, scores, 0.001)
    assert monitor.flush()
    latest = monitor.snapshot()["drift"]["latest"]
    assert latest["drifted"] and latest["features"][0]["missing_current"] == 0.5


def test_predictions_described_later_count_as_waiting_and_take_a_label_at_once(world: Any, start: Start) -> None:
    monitor, go = start({"window": 100}), threading.Event()

    def describe() -> Any:
        assert go.wait(10)
        return (*world.model(world.live[:5]), None)

    monitor.record_later([(["a", "b"], 0.01), (["c", "d", "e"], 0.02)], describe)
    assert monitor.totals()["waiting"] == 5 and not monitor.flush(0.05)
    threading.Timer(0.1, go.set).start()
    assert monitor.feedback("e", "3") == "joined"
    assert monitor.flush() and monitor.totals()["predictions"] == 5
    stored = monitor.store.predictions_after("digits", "1", 0, 10)
    features = np.stack([np.frombuffer(row["features"], "<f4") for row in stored])
    np.testing.assert_array_equal(features, world.model(world.live[:5])[0])
    assert [latency for _, latency in monitor.store.latencies_since("digits", "1", 0, 9)] == [0.02] * 3 + [0.01] * 2


def test_the_drift_thread_outlives_a_store_that_fails_at_the_worst_moment(
    world: Any, start: Start, feed: Feed, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = start({"window": 100})
    real = monitor.windows.run_next, monitor.windows.skip_one

    def fails() -> bool:
        raise ZeroDivisionError("a user's detector")

    def store_gone() -> None:
        raise OperationalError("select", {}, Exception("server gone"))

    monkeypatch.setattr(monitor.windows, "run_next", fails)
    monkeypatch.setattr(monitor.windows, "skip_one", store_gone)
    feed(monitor, world.live[:100])
    monitor.flush()
    monkeypatch.setattr(monitor.windows, "skip_one", lambda: 1 / 0)
    monitor.flush()
    assert monitor._checker.is_alive() and monitor.failed_checks >= 2
    assert caplog.text.count("cannot test for drift, trying again") == 1
    monkeypatch.setattr(monitor.windows, "run_next", real[0])
    monkeypatch.setattr(monitor.windows, "skip_one", real[1])
    assert monitor.flush() and monitor.totals()["windows"] == 1


def test_gauges_for_a_metrics_system(world: Any, start: Start, feed: Feed) -> None:
    monitor = start({"window": 100})
    assert monitor.gauges() == {"firing": False, "p_value": None, "features": {}, "performance": None}
    ids = feed(monitor, world.noisy()[:100])
    monitor.flush()
    predicted = monitor.manifest.output.labels
    codes = world.model(world.noisy()[:4])[1].argmax(axis=1)
    monitor.feedback_many([(ids[i], predicted[codes[i] if i else (codes[0] + 1) % 10]) for i in range(4)])
    gauges = monitor.gauges()
    assert gauges["firing"] and gauges["p_value"] < 0.05
    assert 0 < len(gauges["features"]) <= 20 and max(gauges["features"].values()) > 0.1
    score = gauges["performance"]
    assert (score["metric"], score["n"], score["value"], score["coverage"]) == ("accuracy", 4, 0.75, 0.04)


def test_an_alert_of_an_older_version_ends_when_a_new_one_starts(world: Any, start: Start, feed: Feed) -> None:
    old = start({"window": 100})
    feed(old, world.noisy()[:100])
    old.flush()
    old.close()
    new = start({"window": 100}, manifest=world.manifest.model_copy(update={"version": "2"}))
    assert new.flush()
    (alert,) = new.snapshot()["alerts"]
    assert (alert["version"], alert["state"]) == ("1", "resolved") and new.snapshot()["drift"]["latest"] is None


def test_sinks_of_one_name_are_told_apart(world: Any, start: Start, feed: Feed) -> None:
    monitor = start({"window": 100, "sinks": [{"name": "log"}, {"name": "log", "level": "error"}]})
    feed(monitor, world.noisy()[:100])
    monitor.flush()
    (alert,) = monitor.store.latest_alerts("digits", 1)
    assert alert["delivered"] == {"log": "firing", "log-2": "firing"}


def test_closing_twice_and_recording_after_closing_is_harmless(world: Any, start: Start, feed: Feed) -> None:
    monitor = start()
    monitor.close()
    monitor.close()
    feed(monitor, world.live[:3])
    assert monitor.totals()["dropped"] == 3


_VICTIM = """
    import importlib.util, sys, time
    spec = importlib.util.spec_from_file_location("world", sys.argv[1])
    helpers = importlib.util.module_from_spec(spec)
    sys.modules["world"] = helpers
    spec.loader.exec_module(helpers)
    from lamplighter.core.recipe import Monitor as Settings
    from lamplighter.monitor.service import Monitor
    from lamplighter.monitor.store import open_store
    world = helpers.make_world()
    monitor = Monitor(world.manifest, world.reference, Settings(window=100, sinks=()), open_store(sys.argv[2]))
    rows = world.noisy()
    for i in range(250):
        monitor.record([f"v{i}"], *world.model(rows[i : i + 1]), 0.001)
    monitor.flush()
    print("stored", flush=True)
    for i in range(250, 10**9):
        monitor.record([f"v{i}"], *world.model(rows[i % 500 : i % 500 + 1]), 0.001)
        time.sleep(0.001)
"""


def test_kill_9_loses_neither_alert_nor_position(world: Any, tmp_path: Path, feed: Feed) -> None:
    url = f"sqlite:///{tmp_path / 'victim.db'}"
    helpers = str(Path(__file__).parent / "conftest.py")
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_VICTIM), helpers, url], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "stored\n"
    time.sleep(0.3)  # in the middle of writing
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    store = open_store(url)
    monitor = Monitor(world.manifest, world.reference, Settings(window=100, sinks=()), store)
    assert monitor.windows.number >= 2 and monitor.totals()["predictions"] >= 250
    feed(monitor, world.noisy(seed=1)[:200], "after")
    assert monitor.flush()
    history = store.latest_windows("digits", "1", 1000)[::-1]
    assert [w["number"] for w in history] == list(range(len(history)))
    assert all(b["first_seq"] == a["last_seq"] + 1 for a, b in pairwise(history))
    assert [a["state"] for a in store.latest_alerts("digits", 10)] == ["firing"]
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    monitor.close()
    store.close()


def test_package_faces_are_lazy_and_torch_free() -> None:
    code = (
        "import sys\n"
        "import lamplighter.monitor as m, lamplighter.monitor.drift as d\n"
        "assert 'scipy' not in sys.modules and 'sqlalchemy' not in sys.modules\n"
        "assert m.Monitor and m.open_store and d.check and d.Verdict and d.Baseline\n"
        "assert not {'torch', 'sklearn', 'pandas'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_store_type_is_exposed() -> None:
    import lamplighter.monitor

    assert lamplighter.monitor.Store is Store
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        lamplighter.monitor.nothing  # type: ignore[attr-defined]
