"""Everything the live page shows, as plain data."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy.exc import SQLAlchemyError

from lamplighter.monitor.drift.baseline import Baseline
from lamplighter.monitor.histograms import histograms
from lamplighter.monitor.performance import performance
from lamplighter.monitor.store import first_line

if TYPE_CHECKING:
    from lamplighter.monitor.service import Monitor

RECENT_SECONDS = 60.0
SHOWN_CLASSES = 12
SHOWN_WINDOWS = 100
SHOWN_ALERTS = 20
QUERY_SHARE = 0.1  # of the time may go into asking the store about performance
LEAST_AGE = 2.0


class Snapshots:
    """Takes snapshots of one monitor; what is dear to compute is kept for a while.

    Args:
        monitor: whose state is shown.
        baseline: its reference.
    """

    def __init__(self, monitor: Monitor, baseline: Baseline) -> None:
        self._monitor, self._baseline = monitor, baseline
        self._verdict: tuple[int, dict[str, Any]] | None = None
        self._performance: dict[str, Any] | None = None
        self._performance_due = 0.0
        self._last_stored: dict[str, Any] = _nothing_stored()

    def forget_performance(self) -> None:
        """Labels have come: compute realised performance again, at most every two seconds."""
        self._performance_due = min(self._performance_due, time.monotonic() + LEAST_AGE)

    def take(self, now: float) -> dict[str, Any]:
        """The state at Unix time ``now``."""
        monitor = self._monitor
        trouble = ""
        try:
            self._last_stored = self._stored()
        except SQLAlchemyError as error:
            trouble = f"the monitor's store does not answer: {first_line(error)}"
        recent = monitor.traffic.recent(now, RECENT_SECONDS)
        settings = monitor.settings
        return {
            "now": now,
            "uptime": now - monitor.started,
            "trouble": trouble,
            "model": self._model(),
            "settings": {
                "alpha": settings.alpha,
                "window": settings.window,
                "persistence": settings.persistence,
                "min_effect": settings.min_effect,
            },
            "totals": monitor.totals(),
            "recent": recent,
            "windows_per_day": recent["rate"] * 86400 / settings.window,
            "traffic": monitor.traffic.curves(now),
            "mix": self._mix(),
            **self._last_stored,
        }

    def _model(self) -> dict[str, Any]:
        manifest = self._monitor.manifest
        return {
            "name": manifest.name,
            "version": manifest.version,
            "created": manifest.created,
            "kind": manifest.output.kind,
            "features": len(manifest.features),
            "reference_rows": self._baseline.n,
        }

    def _stored(self) -> dict[str, Any]:
        """What comes out of the store."""
        monitor = self._monitor
        store, name, version = monitor.store, monitor.manifest.name, monitor.manifest.version
        windows = store.latest_windows(name, version, SHOWN_WINDOWS)
        latest = None
        if windows:
            newest = windows[0]
            if self._verdict is None or self._verdict[0] != newest["id"]:
                self._verdict = (newest["id"], store.verdict_of(newest["id"]))
            latest = {**self._verdict[1], "number": newest["number"], "ended": newest["ended"]}
        if time.monotonic() >= self._performance_due or self._performance is None:
            start = time.monotonic()
            self._performance = performance(store, monitor.manifest)
            spent = time.monotonic() - start
            self._performance_due = start + max(LEAST_AGE, spent / QUERY_SHARE)
        history = [
            {"number": w["number"], "time": w["ended"], "p_value": w["p_value"], "drifted": bool(w["drifted"])}
            for w in reversed(windows)
        ]
        shown = ("id", "name", "version", "state", "started", "ended", "summary", "details")
        return {
            "drift": {"latest": latest, "history": history, "waiting": monitor.windows.pending()},
            "alerts": [{key: a[key] for key in shown} for a in store.latest_alerts(name, SHOWN_ALERTS)],
            "performance": self._performance,
        }

    def _mix(self) -> list[dict[str, Any]]:
        """The newest predictions beside the reference: one histogram for classes, one for each predicted number."""
        newest = self._monitor.traffic.newest()
        first = len(self._monitor.manifest.features)
        result = []
        for j, column in enumerate(self._baseline.columns[first:]):
            values = newest[:, j].astype(np.float64) if len(newest) else np.empty(0)
            if column.kind == "category":
                found: dict[str, Any] | None = self._classes(first + j, values)
            else:
                found = histograms(self._baseline, first + j, values)
            if found is not None:
                result.append({"name": column.name, "n": len(values), **found})
        return result

    def _classes(self, j: int, values: np.ndarray) -> dict[str, Any]:
        """Shares of the commonest classes in the order of the labels, the others in one."""
        before = self._baseline.counts[j]
        names = list(self._baseline.columns[j].categories)
        then = np.zeros(len(names)) if before is None else before[: len(names)] / max(before.sum(), 1)
        now = self._baseline.cells(j, values)[: len(names)] / max(len(values), 1)
        kept = np.arange(len(names))
        if len(names) > SHOWN_CLASSES:
            kept = np.sort(np.argsort(-np.maximum(then, now), kind="stable")[: SHOWN_CLASSES - 1])
        result: dict[str, Any] = {
            "names": [names[i] for i in kept],
            "reference": [round(float(then[i]), 5) for i in kept],
            "current": [round(float(now[i]), 5) for i in kept],
        }
        if len(names) > len(kept):
            result["names"].append(f"{len(names) - len(kept)} others")
            for key, shares in (("reference", then), ("current", now)):
                result[key].append(round(float(shares.sum() - shares[kept].sum()), 5))
        return result


def _nothing_stored() -> dict[str, Any]:
    """What is shown while the store has never answered."""
    return {
        "drift": {"latest": None, "history": [], "waiting": 0},
        "alerts": [],
        "performance": {"metric": "", "test": None, "overall": None, "width": 0, "points": []},
    }
