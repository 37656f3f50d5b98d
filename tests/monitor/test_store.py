"""The store: opening, inserting, joining, pruning, and the same statements for PostgreSQL."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import CreateTable

from lamplighter.core.errors import MissingExtraError
from lamplighter.monitor.records import MonitorError
from lamplighter.monitor.schema import metadata
from lamplighter.monitor.store import Store, open_store


def _rows(ids: list[str], start: float = 0.0, model: str = "m", version: str = "1") -> list[dict[str, Any]]:
    blob = np.zeros(4, "<f4").tobytes()
    return [
        {
            "id": id_,
            "model": model,
            "version": version,
            "time": start + i,
            "latency": 0.001,
            "label": "a",
            "value": None,
            "confidence": 0.5,
            "features": blob,
            "scores": blob,
        }
        for i, id_ in enumerate(ids)
    ]


def _label(id_: str, error: float, at: float = 0.0) -> dict[str, Any]:
    return {
        "prediction_id": id_,
        "model": "m",
        "version": "1",
        "label": "a",
        "value": None,
        "time": at + 60,
        "predicted_at": at,
        "error": error,
    }


def test_opens_in_wal_mode(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'a.db'}")
    with store.engine.connect() as connection:
        assert connection.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(sa.text("PRAGMA synchronous")).scalar() == 1
    store.close()
    open_store(f"sqlite:///{tmp_path / 'a.db'}").close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("monitor.db", "not a URL"),
        ("sqlite://", "name a file"),
        ("mysql://u:secret@h/db", "only sqlite and postgresql"),
        ("sqlite:////nowhere/at/all.db", "unable to open"),
    ],
)
def test_bad_urls_get_one_clear_line(url: str, words: str) -> None:
    with pytest.raises(MonitorError, match=words) as caught:
        open_store(url)
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["postgresql://u@127.0.0.1:1/db", "postgresql+psycopg://u@127.0.0.1:1/db"])
def test_postgresql_means_psycopg_3_whatever_sqlalchemy_says(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[sa.URL] = []
    real = sa.create_engine
    monkeypatch.setattr(sa, "create_engine", lambda url, **options: made.append(url) or real(url, **options))
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"'psycopg'.*pip install 'lamplighter\[postgres\]'"):
        open_store(url)
    assert [u.drivername for u in made] == ["postgresql+psycopg"]


def test_other_drivers_are_taken_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(MonitorError, match="driver cannot be loaded"):
        open_store("postgresql+psycopg2://u:secret@127.0.0.1:1/db")
    with pytest.raises(MonitorError, match=r"no driver 'postgresql\+nothing'"):
        open_store("postgresql+nothing://u:secret@127.0.0.1:1/db")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_text("not a database" * 100)
    with pytest.raises(MonitorError, match="not a database"):
        open_store(f"sqlite:///{tmp_path / 'a.db'}")


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    open_store(url).close()
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("UPDATE lamplighter SET value = '99'")
    with pytest.raises(MonitorError, match="schema version 99"):
        open_store(url)


def test_an_id_counts_once(store: Store) -> None:
    assert store.add_predictions(_rows(["a", "b"])) == 2
    assert store.add_predictions(_rows(["b", "c"])) == 1
    assert store.count_after("m", "1", 0) == 3


def test_models_and_versions_do_not_mix(store: Store) -> None:
    store.add_predictions(_rows(["a", "b"]) + _rows(["c"], version="2") + _rows(["d"], model="other"))
    assert [store.count_after(m, v, 0) for m, v in (("m", "1"), ("m", "2"), ("other", "1"))] == [2, 1, 1]
    assert set(store.find_predictions("m", ["a", "c", "d"])) == {"a", "c"}


def test_order_of_arrival(store: Store) -> None:
    store.add_predictions(_rows([f"p{i}" for i in range(10)]))
    first = store.predictions_after("m", "1", 0, 4)
    rest = store.predictions_after("m", "1", first[-1]["seq"], 100)
    assert [row["time"] for row in first + rest] == list(range(10))
    assert [row["time"] for row in store.latest_predictions("m", "1", 3)] == [9, 8, 7]


def test_labels_are_replaced_not_added(store: Store) -> None:
    assert store.add_labels([_label("a", 1.0), _label("b", 0.0)]) == set()
    assert store.add_labels([_label("a", 0.0)]) == {"a"}
    found = store.errors_by_time("m", "1", 10.0)
    assert found == {0: {"n": 2, "error": 0.0, "square": 0.0, "delay": 60.0}}


def test_newest_errors_and_how_many_predictions_they_stand_for(store: Store) -> None:
    assert store.newest_errors("m", "1", 10)["n"] == 0
    store.add_predictions(_rows([f"p{i}" for i in range(10)]))
    store.add_labels([_label(f"p{i}", float(i), at=float(i)) for i in (2, 4, 6, 8)])
    assert store.newest_errors("m", "1", 3) == {"n": 3, "error": 18.0, "square": 116.0, "since": 4.0}
    assert store.count_since("m", "1", 4.0) == 6 and store.count_since("m", "2", 4.0) == 0


def test_buckets_round_down(store: Store) -> None:
    store.add_predictions(_rows([f"p{i}" for i in range(10)], start=17.6))
    assert store.predictions_by_time("m", "1", 4.0) == {4: 3, 5: 4, 6: 3}


def test_pruning_keeps_the_newest_and_the_file_flat(store: Store, tmp_path: Path) -> None:
    sizes = []
    for round_ in range(12):
        ids = [f"{round_}-{i}" for i in range(1000)]
        store.add_predictions(_rows(ids, start=1000.0 * round_))
        store.add_labels([_label(ids[0], 0.0, at=1000.0 * round_)])
        while store.prune(keep=3000):
            pass
        sizes.append((tmp_path / "monitor.db").stat().st_size)
    assert store.count_after("m", "1", 0) == 3000
    assert store.latest_predictions("m", "1", 1)[0]["time"] == 11_999
    assert store.label_span("m", "1") == (9000.0, 11_000.0, 3)
    assert sizes[-1] <= sizes[5] * 1.1


def test_writing_during_another_writers_transaction_waits(store: Store, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "monitor.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with store.engine.connect() as connection:
        connection.execute(sa.text("PRAGMA busy_timeout=50"))
        with pytest.raises(OperationalError, match="locked"):
            connection.execute(sa.text("INSERT INTO lamplighter VALUES ('a', 'b')"))
    other.execute("ROLLBACK")
    other.close()
    assert store.add_predictions(_rows(["a"])) == 1


def test_a_window_is_recorded_once_with_its_alert(store: Store) -> None:
    window = {"model": "m", "version": "1", "number": 0, "first_seq": 1, "last_seq": 100, "started": 0.0, "ended": 9.0}
    window |= {"n": 100, "drifted": 1, "p_value": 0.001, "verdict": '{"drifted": true}'}
    alert = {"name": "data-drift", "model": "m", "version": "1", "state": "firing", "started": 9.0, "ended": None}
    alert |= {"summary": "s", "details": "{}", "delivered": "{}"}
    assert store.add_window(window, alert, None)
    assert not store.add_window(window, alert, None)
    (found,) = store.latest_alerts("m", 10)
    assert store.verdict_of(store.latest_windows("m", "1", 5)[0]["id"]) == {"drifted": True}
    assert store.add_window({**window, "number": 1}, None, (found["id"], 12.0))
    (found,) = store.latest_alerts("m", 10)
    assert (found["state"], found["ended"]) == ("resolved", 12.0)


def test_a_window_and_its_alert_are_stored_together_or_not_at_all(store: Store) -> None:
    window = {"model": "m", "version": "1", "number": 0, "first_seq": 1, "last_seq": 100, "started": 0.0, "ended": 9.0}
    window |= {"n": 100, "drifted": 1, "p_value": 0.001, "verdict": "{}"}
    with pytest.raises(sa.exc.IntegrityError):
        store.add_window(window, {"name": "data-drift"}, None)
    assert store.latest_windows("m", "1", 5) == []


def test_the_schema_compiles_for_postgresql() -> None:
    statements = "\n".join(str(CreateTable(t).compile(dialect=postgresql.dialect())) for t in metadata.sorted_tables)
    assert "seq BIGSERIAL NOT NULL" in statements and "features BYTEA" in statements


def test_postgresql_does_the_same(postgresql: str) -> None:
    store = open_store(postgresql)
    test_an_id_counts_once(store)
    test_labels_are_replaced_not_added(store)
    test_a_window_is_recorded_once_with_its_alert(store)
    store.add_predictions(_rows([f"q{i}" for i in range(10)], start=17.6, model="q"))
    assert store.predictions_by_time("q", "1", 4.0) == {4: 3, 5: 4, 6: 3}
    while store.prune(keep=5):
        pass
    assert store.count_after("q", "1", 0) + store.count_after("m", "1", 0) == 5
    metadata.drop_all(store.engine)
    store.close()
