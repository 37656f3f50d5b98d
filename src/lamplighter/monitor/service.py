"""The monitor of one served model: what the server talks to."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy.exc import SQLAlchemyError

from lamplighter.bundle.manifest import Manifest
from lamplighter.bundle.runtime import kinds
from lamplighter.bundle.runtime.reference import Reference
from lamplighter.core import registry
from lamplighter.core.recipe import Component
from lamplighter.core.recipe import Monitor as Settings
from lamplighter.monitor import dashboard, feedback, performance
from lamplighter.monitor.alerts import Notifier
from lamplighter.monitor.drift.baseline import Baseline, predictions
from lamplighter.monitor.drift.detect import build_detectors
from lamplighter.monitor.drift.verdict import Verdict
from lamplighter.monitor.recorder import Recorder
from lamplighter.monitor.records import MonitorError, Predictions
from lamplighter.monitor.rounds import Rounds
from lamplighter.monitor.snapshot import Snapshots
from lamplighter.monitor.store import Store, first_line
from lamplighter.monitor.traffic import KEEP_SECONDS, MIX, Traffic
from lamplighter.monitor.windows import Windows
from lamplighter.monitor.writer import Writer

logger = logging.getLogger("lamplighter.monitor")

MAX_QUEUE = 10_000
MAX_BYTES = 128 * 1024**2  # of requests whose features are not yet computed
ROW_BYTES = 1000  # what a raw row takes beside its tensors, roughly
LABEL_PATIENCE = 5.0  # how long a label waits for its prediction to be stored
KEEP_ROWS = 1_000_000
KEEP_BYTES = 2 * 1024**3
GAUGED_FEATURES = 20  # a metrics system stores a series for each
RECHECK_SECONDS = 5.0  # how often to look for full windows without being told, for instance after trouble
CPU_SHARE = 0.25  # of one core, for drift tests on a busy stream


Described = tuple[np.ndarray, np.ndarray, list[dict[str, Any]] | None]
"""Features, scores and, where scores do not say everything, answers of some rows."""


class Monitor:
    """Records predictions, tests them for drift window by window, joins labels, raises alerts.

    Nothing here blocks or fails a request: `record` puts rows on a bounded queue, threads do the rest. Each window of
    unchanged data is called drifted with probability ``alpha`` at most, so W windows a day mean at most
    alpha * W drifted windows a day; ``persistence: k`` raises an alert only after k of them in a row.

    Args:
        manifest: ``Bundle.manifest``.
        reference: ``Bundle.reference``.
        settings: the recipe's ``monitor`` section.
        store: from `open_store`; several monitors may share one. The caller closes it.
        clock: gives Unix time.
        max_queue: predictions waiting for the store at most; more are dropped and counted.
        keep_rows: predictions kept in the store; fewer when they would take more than 2 GiB.
    """

    def __init__(
        self,
        manifest: Manifest,
        reference: Reference,
        settings: Settings,
        store: Store,
        *,
        clock: Callable[[], float] = time.time,
        max_queue: int = MAX_QUEUE,
        keep_rows: int = KEEP_ROWS,
    ) -> None:
        self.manifest, self.settings, self.store = manifest, settings, store
        self.started = clock()
        self._clock = clock
        self._widths = (len(manifest.features), len(kinds.of(manifest.output).columns))
        baseline = Baseline.from_reference(reference, manifest.features, manifest.output)
        facts: dict[str, Any] = {"seed": 0}
        detectors = build_detectors(settings.detectors)
        sinks = {key: registry.build("sink", c.name, c.params, facts) for key, c in _keyed(settings.sinks).items()}
        try:
            self.windows = Windows(store, manifest, baseline, settings, detectors)
            store.resolve_other_versions(manifest.name, manifest.version, self.started)
            self._pending = self.windows.pending()
            self._stored_before = store.count_after(manifest.name, manifest.version, 0)
            self.traffic = self._recover_traffic()
        except SQLAlchemyError as error:
            raise MonitorError(f"the monitor's store does not answer: {first_line(error)}") from None
        self._snapshots = Snapshots(self, baseline)
        self._rounds, self._hurry, self._closing = Rounds(), threading.Event(), threading.Event()
        self._in_trouble = False
        self.failed_checks = 0
        self.notifier = Notifier(store, manifest.name, sinks)
        self.recorder = Recorder(MAX_BYTES)
        row_bytes = 200 + 4 * sum(self._widths)
        self.writer = Writer(
            store, self._to_rows, self._observe, self._stored, max_queue, min(keep_rows, KEEP_BYTES // row_bytes)
        )
        self._checker = threading.Thread(target=self._run_checks, name="lamplighter-drift", daemon=True)
        self._rounds.ask()
        self._checker.start()

    def record(self, ids: Sequence[str], features: np.ndarray, scores: np.ndarray, latency_seconds: float) -> None:
        """Take note of answered rows. Never blocks; when the queue is full the rows are dropped and counted.

        Args:
            ids: prediction ids, one for each row.
            features: (N, F) from ``Bundle.features``.
            scores: (N, K) from ``Bundle.scores_of``.
            latency_seconds: from request to answer.
        """
        self.writer.put(Predictions.copy_of(ids, features, scores, latency_seconds, self._clock(), self._widths))

    def record_later(
        self,
        requests: Sequence[tuple[Sequence[str], float]],
        describe: Callable[[], Described],
        size: int = 0,
    ) -> None:
        """`record` for several requests whose features are still to be computed, on a thread of the monitor's own.

        Args:
            requests: prediction ids and latency in seconds of each.
            describe: gives features (N, F) and scores (N, K) of the rows of all requests in order, and where scores
                do not say everything the answers.
            size: bytes that ``describe`` keeps in memory; when much is waiting the rows are dropped and counted.
        """
        now = self._clock()
        rows = sum(len(ids) for ids, _ in requests)
        self.recorder.put(rows, size + ROW_BYTES * rows, lambda: self._describe(requests, describe, now))

    def _describe(
        self,
        requests: Sequence[tuple[Sequence[str], float]],
        describe: Callable[[], Described],
        now: float,
    ) -> None:
        features, scores, answers = describe()
        start = 0
        for ids, latency in requests:
            these = slice(start, start + len(ids))
            start += len(ids)
            some = None if answers is None else answers[these]
            self.writer.put(Predictions.copy_of(ids, features[these], scores[these], latency, now, self._widths, some))

    def feedback(self, prediction_id: str, truth: Any) -> str:
        """Join a late label.

        Args:
            prediction_id: from the answer.
            truth: the right label; a number for regression, or a mapping target -> number for several targets.

        Returns:
            ``"joined"``, ``"updated"`` when there was a label before, or ``"unknown"`` when no such prediction is kept.

        Raises:
            InputError: an unknown label or not a number.
            MonitorError: the store does not answer.
        """
        return self.feedback_many([(prediction_id, truth)])[0]

    def feedback_many(self, pairs: Iterable[tuple[str, Any]]) -> list[str]:
        """`feedback` for many: all labels are checked before any is stored."""
        pairs = list(pairs)
        truths = feedback.parse(pairs, self.manifest.output)
        try:
            found = feedback.find(self.store, self.manifest.name, [id_ for id_, _ in pairs])
            if len(found) < len({id_ for id_, _ in pairs}) and (self.recorder.waiting or self.writer.waiting):
                self._settle(LABEL_PATIENCE)  # the label came before its prediction was written
                found = feedback.find(self.store, self.manifest.name, [id_ for id_, _ in pairs])
            states = feedback.join(self.store, self.manifest, found, truths, self._clock())
        except SQLAlchemyError as error:
            raise MonitorError(f"the label was not stored: {first_line(error)}") from None
        self._snapshots.forget_performance()
        return states

    def check(self) -> Verdict:
        """The verdict on the newest predictions, up to one window, now. Changes no alert."""
        self._settle(10.0)
        return self.windows.check(self.windows.latest(), seed=self.windows.number)

    def snapshot(self) -> dict[str, Any]:
        """Everything the live page shows, as JSON-compatible data."""
        return self._snapshots.take(self._clock())

    def gauges(self) -> dict[str, Any]:
        """What changes slowly, for a metrics system.

        Returns:
            ``firing``, whether an alert is; ``p_value`` of the newest window, or None; ``features``, the most changed
            ones of that window as name -> effect; ``performance``, see `performance.recent`.

        Raises:
            SQLAlchemyError: the store does not answer.
        """
        name, version = self.manifest.name, self.manifest.version
        alerts = self.store.latest_alerts(name, limit=20)
        windows = self.store.latest_windows(name, version, limit=1)
        features = self.store.verdict_of(windows[0]["id"])["features"] if windows else []
        return {
            "firing": any(alert["state"] == "firing" and alert["version"] == version for alert in alerts),
            "p_value": windows[0]["p_value"] if windows else None,
            "features": {feature["name"]: feature["effect"] for feature in reversed(features[:GAUGED_FEATURES])},
            "performance": performance.recent(self.store, self.manifest),
        }

    def page(self, base: str = "") -> str:
        """The live page as HTML.

        Args:
            base: path under which the server is mounted, without a slash at its end.
        """
        return dashboard.page(self.manifest, self.settings, base)

    def totals(self) -> dict[str, int]:
        """Counters since the process started (``predictions``: ever)."""
        return {
            "predictions": self._stored_before + self.writer.written,
            "waiting": self.recorder.waiting + self.writer.waiting,
            "dropped": self.recorder.dropped + self.writer.dropped,
            "failed": self.recorder.failed + self.writer.failed,
            "windows": self.windows.number,
            "skipped_windows": self.windows.skipped,
            "failed_checks": self.failed_checks,
        }

    def flush(self, timeout: float = 30.0) -> bool:
        """Wait until all predictions are stored, all full windows tested and the sinks told. False when out of time."""
        deadline = time.monotonic() + timeout
        done = self._settle(timeout)
        self._hurry.set()
        done &= self._rounds.wait(self._rounds.ask(), max(0.0, deadline - time.monotonic()))
        self._hurry.clear()
        return done & self.notifier.wait(max(0.0, deadline - time.monotonic()))

    def close(self) -> None:
        """Store what is queued and stop the threads. Windows not yet tested are tested after the next start."""
        self.recorder.close()
        self.writer.close()
        self._closing.set()
        self._hurry.set()
        self._rounds.ask()
        self._checker.join(10.0)
        self.notifier.close()

    def _settle(self, timeout: float) -> bool:
        """Wait until every prediction recorded so far is in the store. False when out of time."""
        deadline = time.monotonic() + timeout
        described = self.recorder.flush(timeout)
        return self.writer.flush(max(0.0, deadline - time.monotonic())) and described

    def _to_rows(self, chunk: Predictions) -> list[dict[str, Any]]:
        return chunk.to_rows(self.manifest.name, self.manifest.version, self.manifest.output)

    def _observe(self, chunk: Predictions) -> None:
        predicted = predictions(chunk.scores, self.manifest.output)
        self.traffic.add(chunk.time, chunk.latency, len(chunk), predicted)

    def _stored(self, rows: int) -> None:
        self._pending += rows
        if self._pending >= self.windows.size:
            self._rounds.ask()

    def _run_checks(self) -> None:
        while not self._closing.is_set():
            number = self._rounds.begin(RECHECK_SECONDS)
            while not self._closing.is_set() and self._try_window():
                pass
            self._rounds.finish(number)

    def _try_window(self) -> bool:
        """`_test_window`, whatever happens: a thread that ended here would look like data without drift."""
        try:
            more = self._test_window()
        except SQLAlchemyError as error:
            if not self._in_trouble:
                logger.warning("cannot test for drift, trying again later: %s", first_line(error))
            self._in_trouble = True
            return False
        except Exception:  # not of a detector: those are met below
            self.failed_checks += 1
            if not self._in_trouble:
                logger.exception("cannot test for drift, trying again later")
            self._in_trouble = True
            return False
        self._in_trouble = False
        return more

    def _test_window(self) -> bool:
        """Test one window; False when none is full."""
        start = time.perf_counter()
        try:
            self._pending = self.windows.pending()
            if self._pending < self.windows.size:
                return False
            self.windows.skip_to_newest()
            if self.windows.run_next():
                self.notifier.wake()
        except SQLAlchemyError:
            raise
        except Exception:  # a user's detector may raise anything; the stream goes on
            logger.exception("a drift test failed; its window is left out")
            self.failed_checks += 1
            self.windows.skip_one()
        spent = time.perf_counter() - start
        self._hurry.wait(spent / CPU_SHARE - spent)
        return True

    def _recover_traffic(self) -> Traffic:
        """The last hour as the store knows it."""
        name, version = self.manifest.name, self.manifest.version
        past = self.store.latencies_since(name, version, self.started - KEEP_SECONDS, limit=20_000)
        traffic = Traffic(min([self.started, *(moment for moment, _ in past)]))
        for moment, latency in past:
            traffic.add(moment, latency, 1)
        newest = self.store.latest_predictions(name, version, MIX)
        if newest:
            columns = self.windows.decode(newest[::-1])
            traffic.remember(columns[:, self._widths[0] :])
        return traffic


def _keyed(sinks: Sequence[Component]) -> Mapping[str, Component]:
    """Sinks by name, a number added to the second of one name."""
    keyed: dict[str, Component] = {}
    for sink in sinks:
        same = sum(other.name == sink.name for other in keyed.values())
        keyed[f"{sink.name}-{same + 1}" if same else sink.name] = sink
    return keyed
