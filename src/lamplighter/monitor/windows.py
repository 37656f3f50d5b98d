"""Cuts the stream of predictions into windows, tests each for drift, and moves the alert."""

from __future__ import annotations

import json
import logging
from typing import Any

import numpy as np

from lamplighter.bundle.manifest import Manifest
from lamplighter.bundle.runtime import kinds
from lamplighter.core.recipe import Monitor as Settings
from lamplighter.monitor.alerts import DRIFT, describe, transition
from lamplighter.monitor.drift.baseline import Baseline, predictions
from lamplighter.monitor.drift.detect import check
from lamplighter.monitor.drift.verdict import Detector, Verdict
from lamplighter.monitor.histograms import histograms
from lamplighter.monitor.store import Row, Store

logger = logging.getLogger("lamplighter.monitor")

SHOWN_FEATURES = 24
SHOWN_HISTOGRAMS = 8
KEEP_WINDOWS = 2000
MAX_BACKLOG = 20  # windows; a stream that runs further ahead has the ones between skipped


class Windows:
    """Drift windows of one model version: consecutive, without overlap, each tested once.

    The position in the stream and the alert live in the store, so a restart goes on where the last process stopped.

    Args:
        store: holds the predictions.
        manifest: of the bundle.
        baseline: what was normal.
        settings: the recipe's ``monitor`` section.
        detectors: built from it.

    Attributes:
        size: predictions in one window.
        number: of the next window.
        position: the last prediction already tested.
        skipped: windows left out because predictions came faster than they could be tested.
    """

    def __init__(
        self, store: Store, manifest: Manifest, baseline: Baseline, settings: Settings, detectors: tuple[Detector, ...]
    ) -> None:
        self._store, self._manifest, self._baseline, self._settings = store, manifest, baseline, settings
        self._detectors = detectors
        self._model, self._version = manifest.name, manifest.version
        self.size = settings.window
        self.skipped = 0
        self.number, self.position = 0, 0
        self._reload()

    def pending(self) -> int:
        """Stored predictions after the last window."""
        return self._store.count_after(self._model, self._version, self.position)

    def run_next(self) -> bool:
        """Test the next full window, if there is one.

        Returns:
            Whether the alert changed.
        """
        rows = self._store.predictions_after(self._model, self._version, self.position, self.size)
        if len(rows) < self.size:
            return False
        current = self.decode(rows)
        verdict = self.check(current, seed=self.number)
        newest_first = [bool(w["drifted"]) for w in self._recent(self._settings.persistence - 1)]
        open_alert = self._open_alert()
        change = transition(open_alert is not None, [verdict.drifted, *newest_first], self._settings.persistence)
        window = self._window_row(rows, verdict, current)
        alert = self._alert_row(window, verdict) if change == "open" else None
        resolve = (int(open_alert["id"]), window["ended"]) if change == "resolve" and open_alert else None
        if not self._store.add_window(window, alert, resolve):
            logger.info("window %d was tested by another process", self.number)
            self._reload()
            return False
        self.number, self.position = self.number + 1, window["last_seq"]
        if self.number % 100 == 0:
            self._store.prune_windows(self._model, self._version, self.number - KEEP_WINDOWS)
        return change is not None

    def skip_to_newest(self) -> None:
        """Jump over all full windows but the last when they pile up beyond `MAX_BACKLOG`."""
        behind = self.pending() // self.size
        if behind > MAX_BACKLOG:
            newest = self._store.latest_predictions(self._model, self._version, self.size + 1)
            self.position = int(newest[-1]["seq"])
            self.skipped += behind - 1

    def skip_one(self) -> None:
        """Leave out a window that cannot be tested."""
        rows = self._store.predictions_after(self._model, self._version, self.position, self.size)
        if len(rows) == self.size:
            self.position = int(rows[-1]["seq"])
            self.skipped += 1

    def check(self, current: np.ndarray, seed: int) -> Verdict:
        """The verdict on some rows, with this monitor's settings."""
        return check(
            self._baseline,
            current,
            self._settings.alpha,
            seed,
            min_effect=self._settings.min_effect,
            detectors=self._detectors,
        )

    def latest(self) -> np.ndarray:
        """(n, columns): the newest predictions, up to one window."""
        return self.decode(self._store.latest_predictions(self._model, self._version, self.size))

    def decode(self, rows: list[Row]) -> np.ndarray:
        """Stored rows as the columns of the baseline."""
        output = self._manifest.output
        features = _matrix([row["features"] for row in rows], len(self._manifest.features))
        scores = _matrix([row["scores"] for row in rows], len(kinds.of(output).columns))
        return np.column_stack([features, predictions(scores, output)])

    def _window_row(self, rows: list[Row], verdict: Verdict, current: np.ndarray) -> Row:
        times = [row["time"] for row in rows]
        return {
            "model": self._model,
            "version": self._version,
            "number": self.number,
            "first_seq": rows[0]["seq"],
            "last_seq": rows[-1]["seq"],
            "started": min(times),
            "ended": max(times),
            "n": len(rows),
            "drifted": int(verdict.drifted),
            "p_value": verdict.p_value,
            "verdict": json.dumps(self.to_dict(verdict, current), allow_nan=False),
        }

    def to_dict(self, verdict: Verdict, current: np.ndarray) -> dict[str, Any]:
        """A verdict for people: the most changed features only, the first of them with histograms."""
        result = verdict.to_dict()
        order = sorted(result["features"], key=lambda f: (not f["drifted"], f["corrected_p"], -f["effect"]))
        result["total_features"] = len(order)
        result["drifted_features"] = sum(f["drifted"] for f in order)
        result["features"] = order[:SHOWN_FEATURES]
        position = {column.name: j for j, column in enumerate(self._baseline.columns)}
        for feature in result["features"][:SHOWN_HISTOGRAMS]:
            j = position.get(feature["name"])
            if j is not None:  # a detector may speak of other things than columns
                feature["histograms"] = histograms(self._baseline, j, current[:, j])
        return result

    def _alert_row(self, window: Row, verdict: Verdict) -> Row:
        summary, advice = describe(verdict)
        details = {
            "window": self.number,
            "p_value": verdict.p_value,
            "alpha": verdict.alpha,
            "n": window["n"],
            "features": [{"name": f.name, "effect": f.effect, "p": f.corrected_p} for f in verdict.worst[:10]],
            "advice": advice,
        }
        return {
            "name": DRIFT,
            "model": self._model,
            "version": self._version,
            "state": "firing",
            "started": window["ended"],
            "ended": None,
            "summary": summary,
            "details": json.dumps(details, allow_nan=False),
            "delivered": "{}",
        }

    def _recent(self, limit: int) -> list[Row]:
        return self._store.latest_windows(self._model, self._version, limit) if limit > 0 else []

    def _open_alert(self) -> Row | None:
        found = self._store.latest_alerts(self._model, limit=20)
        return next((a for a in found if a["state"] == "firing" and a["version"] == self._version), None)

    def _reload(self) -> None:
        """Take number and position from the store."""
        last = self._recent(1)
        if last:
            self.number, self.position = int(last[0]["number"]) + 1, int(last[0]["last_seq"])


def _matrix(blobs: list[bytes], width: int) -> np.ndarray:
    return np.frombuffer(b"".join(blobs), dtype="<f4").reshape(len(blobs), width).astype(np.float64)
