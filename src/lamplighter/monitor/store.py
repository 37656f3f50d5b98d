"""Where predictions, labels, verdicts and alerts are kept: SQLite by default, PostgreSQL by URL, one code for both."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from lamplighter.core.extras import missing_extra
from lamplighter.monitor.records import MonitorError
from lamplighter.monitor.schema import SCHEMA_VERSION, about, alerts, labels, metadata, predictions, windows

Row = dict[str, Any]
BUSY_SECONDS = 5.0
PRUNE_BATCH = 5000
COUNTED = {"preserve_rowcount": True}


def open_store(url: str) -> Store:
    """Open a store, and create its tables where they are missing.

    Args:
        url: an SQLAlchemy URL: ``sqlite:///monitor.db`` (relative), ``sqlite:////var/lib/monitor.db`` (absolute) or
            ``postgresql://user@host/name`` (by psycopg 3, the extra ``postgres``, unless the URL names another driver).

    Raises:
        MissingExtraError: psycopg is not installed.
        MonitorError: not such a URL, a path that cannot be written, another driver that cannot be loaded, a server that
            does not answer, or a store of a newer version.
    """
    try:
        parsed = sa.make_url(url)
    except ArgumentError:
        raise MonitorError(f"store '{url}': not a URL; write for instance sqlite:///monitor.db") from None
    shown = parsed.render_as_string(hide_password=True)
    backend = parsed.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise MonitorError(f"store '{shown}': only sqlite and postgresql are supported, not {backend}")
    if backend == "sqlite" and (parsed.database or ":memory:") == ":memory:":
        raise MonitorError(f"store '{shown}': name a file, for instance sqlite:///monitor.db")
    if parsed.drivername == "postgresql":  # SQLAlchemy 2.0 takes this for psycopg2, 2.1 for psycopg
        parsed = parsed.set(drivername="postgresql+psycopg")
    try:
        engine = sa.create_engine(
            parsed, **({"connect_args": {"timeout": BUSY_SECONDS}} if backend == "sqlite" else {})
        )
    except sa.exc.NoSuchModuleError:
        raise MonitorError(f"store '{shown}': there is no driver '{parsed.drivername}'; leave it out") from None
    except ImportError as error:
        if error.name == "psycopg":
            raise missing_extra("psycopg", "postgres") from None
        raise MonitorError(f"store '{shown}': its driver cannot be loaded: {error}") from None
    if backend == "sqlite":
        sa.event.listen(engine, "connect", _prepare_sqlite)
    try:
        return Store(engine)
    except SQLAlchemyError as error:
        engine.dispose()
        raise MonitorError(f"store '{shown}': {first_line(error)}") from None


class Store:
    """The tables and every question asked of them. Safe to use from several threads and processes.

    Args:
        engine: made by `open_store`.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._insert = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert
        metadata.create_all(engine)
        with engine.begin() as connection:
            connection.execute(self._insert(about).values(key="schema", value=SCHEMA_VERSION).on_conflict_do_nothing())
            found = connection.execute(sa.select(about.c.value).where(about.c.key == "schema")).scalar_one()
        if found != SCHEMA_VERSION:
            engine.dispose()
            raise MonitorError(
                f"the store has schema version {found}, this program knows {SCHEMA_VERSION}; use another"
            )

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()

    # predictions

    def add_predictions(self, rows: Sequence[Row]) -> int:
        """Insert rows in one transaction; ids that are already there are left alone.

        Returns:
            Rows inserted.
        """
        insert = self._insert(predictions).on_conflict_do_nothing()
        with self.engine.begin() as connection:
            return connection.execute(insert, list(rows), execution_options=COUNTED).rowcount

    def prune(self, keep: int) -> int:
        """Forget the oldest predictions beyond ``keep`` and their labels, a batch at a time.

        Returns:
            Predictions removed; call again while it is positive.
        """
        seq = predictions.c.seq
        with self.engine.begin() as connection:
            oldest, newest = connection.execute(sa.select(sa.func.min(seq), sa.func.max(seq))).one()
            if oldest is None or newest - keep < oldest:
                return 0
            end = min(newest - keep, oldest + PRUNE_BATCH - 1)
            gone = sa.select(predictions.c.id).where(seq <= end)
            connection.execute(sa.delete(labels).where(labels.c.prediction_id.in_(gone)))
            return connection.execute(sa.delete(predictions).where(seq <= end)).rowcount

    def predictions_after(self, model: str, version: str, seq: int, limit: int) -> list[Row]:
        """Features and scores of predictions in order of arrival, after position ``seq``."""
        p = predictions.c
        query = sa.select(p.seq, p.time, p.features, p.scores).where(
            p.model == model, p.version == version, p.seq > seq
        )
        return self._rows(query.order_by(p.seq).limit(limit))

    def latest_predictions(self, model: str, version: str, limit: int) -> list[Row]:
        """The newest predictions, newest first."""
        p = predictions.c
        query = sa.select(p.seq, p.time, p.features, p.scores)
        return self._rows(query.where(p.model == model, p.version == version).order_by(p.seq.desc()).limit(limit))

    def latencies_since(self, model: str, version: str, time: float, limit: int) -> list[tuple[float, float]]:
        """(time, latency) of the newest predictions since ``time``."""
        p = predictions.c
        query = sa.select(p.time, p.latency).where(p.model == model, p.version == version, p.time >= time)
        rows = self._rows(query.order_by(p.seq.desc()).limit(limit))
        return [(row["time"], row["latency"]) for row in rows]

    def count_after(self, model: str, version: str, seq: int) -> int:
        """Predictions after position ``seq``."""
        p = predictions.c
        query = sa.select(sa.func.count()).where(p.model == model, p.version == version, p.seq > seq)
        return int(self._scalar(query) or 0)

    def find_predictions(self, model: str, ids: Iterable[str]) -> dict[str, Row]:
        """Predictions by id."""
        p = predictions.c
        query = sa.select(p.id, p.version, p.time, p.label, p.scores)
        return {row["id"]: row for row in self._rows(query.where(p.model == model, p.id.in_(list(ids))))}

    def predictions_by_time(self, model: str, version: str, width: float) -> dict[int, int]:
        """Predictions in each time bucket ``floor(time / width)``."""
        p = predictions.c
        bucket = self._bucket(p.time, width)
        query = sa.select(bucket, sa.func.count().label("n")).where(p.model == model, p.version == version)
        return {int(row["bucket"]): int(row["n"]) for row in self._rows(query.group_by(bucket))}

    # labels

    def add_labels(self, rows: Sequence[Row]) -> set[str]:
        """Insert labels or replace earlier ones.

        Returns:
            Prediction ids that already had a label.
        """
        ids = [row["prediction_id"] for row in rows]
        with self.engine.begin() as connection:
            known = connection.execute(sa.select(labels.c.prediction_id).where(labels.c.prediction_id.in_(ids)))
            before = set(known.scalars())
            insert = self._insert(labels)
            changes = {name: insert.excluded[name] for name in ("label", "value", "time", "error")}
            connection.execute(
                insert.on_conflict_do_update(index_elements=[labels.c.prediction_id], set_=changes), list(rows)
            )
        return before

    def label_span(self, model: str, version: str) -> tuple[float, float, int] | None:
        """First and last prediction time that has a label, and how many have one."""
        at = labels.c.predicted_at
        query = sa.select(sa.func.min(at).label("first"), sa.func.max(at).label("last"), sa.func.count().label("n"))
        row = self._rows(query.where(labels.c.model == model, labels.c.version == version))[0]
        return None if row["n"] == 0 else (float(row["first"]), float(row["last"]), int(row["n"]))

    def errors_by_time(self, model: str, version: str, width: float) -> dict[int, Row]:
        """For each bucket of prediction time: labels ``n``, sums of ``error`` and its square, mean ``delay``."""
        c = labels.c
        bucket = self._bucket(c.predicted_at, width)
        query = sa.select(
            bucket,
            sa.func.count().label("n"),
            sa.func.sum(c.error).label("error"),
            sa.func.sum(c.error * c.error).label("square"),
            sa.func.avg(c.time - c.predicted_at).label("delay"),
        ).where(c.model == model, c.version == version)
        return {int(row.pop("bucket")): row for row in self._rows(query.group_by(bucket))}

    def newest_errors(self, model: str, version: str, limit: int) -> Row:
        """Of the newest predictions that have a label: how many (``n``), the sums of their errors (``error``) and of
        the squares (``square``), and the time of the oldest (``since``)."""
        c = labels.c
        newest = sa.select(c.error, c.predicted_at).where(c.model == model, c.version == version)
        some = newest.order_by(c.predicted_at.desc()).limit(limit).subquery().c
        query = sa.select(
            sa.func.count().label("n"),
            sa.func.sum(some.error).label("error"),
            sa.func.sum(some.error * some.error).label("square"),
            sa.func.min(some.predicted_at).label("since"),
        )
        return self._rows(query)[0]

    def count_since(self, model: str, version: str, time: float) -> int:
        """Predictions made at ``time`` or later."""
        p = predictions.c
        query = sa.select(sa.func.count()).where(p.model == model, p.version == version, p.time >= time)
        return int(self._scalar(query) or 0)

    # windows and alerts

    def latest_windows(self, model: str, version: str, limit: int) -> list[Row]:
        """Drift windows without their verdicts, newest first."""
        c = windows.c
        columns = [column for column in c if column.name != "verdict"]
        query = sa.select(*columns).where(c.model == model, c.version == version)
        return self._rows(query.order_by(c.number.desc()).limit(limit))

    def verdict_of(self, window_id: int) -> Row:
        """The stored verdict of a window."""
        verdict: Row = json.loads(self._scalar(sa.select(windows.c.verdict).where(windows.c.id == window_id)))
        return verdict

    def add_window(self, window: Row, alert: Row | None, resolve: tuple[int, float] | None) -> bool:
        """Record a window and what it does to the alert, together or not at all.

        Args:
            window: row of ``windows``.
            alert: row of ``alerts`` to open.
            resolve: id of the alert that ends, and when.

        Returns:
            False when another process has recorded this window already; then nothing is changed.
        """
        with self.engine.begin() as connection:
            insert = self._insert(windows).values(**window).on_conflict_do_nothing()
            if connection.execute(insert, execution_options=COUNTED).rowcount != 1:
                return False
            if alert is not None:
                connection.execute(sa.insert(alerts).values(**alert))
            if resolve is not None:
                ended = sa.update(alerts).where(alerts.c.id == resolve[0])
                connection.execute(ended.values(state="resolved", ended=resolve[1]))
        return True

    def prune_windows(self, model: str, version: str, below: int) -> None:
        """Forget windows with a number less than ``below``."""
        c = windows.c
        with self.engine.begin() as connection:
            connection.execute(sa.delete(windows).where(c.model == model, c.version == version, c.number < below))

    def resolve_other_versions(self, model: str, version: str, now: float) -> None:
        """End alerts of versions that are no longer served."""
        c = alerts.c
        query = sa.update(alerts).where(c.model == model, c.version != version, c.state == "firing")
        with self.engine.begin() as connection:
            connection.execute(query.values(state="resolved", ended=now))

    def latest_alerts(self, model: str, limit: int) -> list[Row]:
        """Alerts of any version, newest first, ``details`` and ``delivered`` decoded."""
        query = sa.select(alerts).where(alerts.c.model == model).order_by(alerts.c.id.desc()).limit(limit)
        return [
            {**row, "details": json.loads(row["details"]), "delivered": json.loads(row["delivered"])}
            for row in self._rows(query)
        ]

    def mark_delivered(self, alert_id: int, delivered: dict[str, str]) -> None:
        """Remember which sink was told what."""
        query = sa.update(alerts).where(alerts.c.id == alert_id).values(delivered=json.dumps(delivered))
        with self.engine.begin() as connection:
            connection.execute(query)

    def _rows(self, query: sa.Executable) -> list[Row]:
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def _scalar(self, query: sa.Executable) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(query).scalar()

    def _bucket(self, time: sa.ColumnElement[float], width: float) -> sa.Label[int]:
        """``floor(time / width)``: SQLite's cast cuts off and it may lack ``floor``, PostgreSQL's cast rounds."""
        ratio = time / width if self.engine.dialect.name == "sqlite" else sa.func.floor(time / width)
        return sa.cast(ratio, sa.BigInteger).label("bucket")


def first_line(error: SQLAlchemyError) -> str:
    """The database's own words, without SQLAlchemy's additions."""
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()
