"""When an alert starts and ends, what it says, and how it reaches people exactly as often as it should."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy.exc import SQLAlchemyError

from lamplighter.monitor.drift.verdict import Verdict
from lamplighter.monitor.rounds import Rounds
from lamplighter.monitor.store import Store

logger = logging.getLogger("lamplighter.monitor")

DRIFT = "data-drift"
RETRIES = 5
FIRST_PAUSE = 1.0
TRY_AGAIN_SECONDS = 60.0


@dataclass(frozen=True)
class Alert:
    """What a sink gets to see.

    Attributes:
        name: ``data-drift``.
        model: whose data.
        version: of the model.
        state: ``firing`` or ``resolved``.
        started: Unix time of the prediction that completed the window.
        ended: the same for the window that ended it; None while firing.
        summary: one line for a person.
        details: ``p_value``, ``alpha``, ``window``, ``features``, ``advice``.
    """

    name: str
    model: str
    version: str
    state: str
    started: float
    ended: float | None
    summary: str
    details: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """The same for all states of alerts of one name, model and version."""
        return hashlib.sha256("\0".join((self.name, self.model, self.version)).encode()).hexdigest()[:16]


class Sink(Protocol):
    """Where alerts go: a catalog component of kind ``sink``."""

    def send(self, alert: Alert) -> None:
        """Deliver; called in a background thread, may take its time.

        Raises:
            Exception: of any kind when it did not arrive; it will be tried again.
        """
        ...


def transition(is_open: bool, newest_first: Sequence[bool], persistence: int) -> str | None:
    """``"open"`` after ``persistence`` drifted windows in a row, ``"resolve"`` after as many clean ones, or None.

    >>> transition(False, [True, True, False], 2), transition(True, [False, False, True], 2)
    ('open', 'resolve')
    >>> transition(True, [True, True, True], 2), transition(False, [True, False, True], 2)
    (None, None)
    """
    recent = list(newest_first[:persistence])
    if len(recent) < persistence:
        return None
    if not is_open and all(recent):
        return "open"
    if is_open and not any(recent):
        return "resolve"
    return None


def describe(verdict: Verdict) -> tuple[str, list[str]]:
    """A verdict in plain words: one line, and what to do about it."""
    worst = verdict.worst
    total = len(verdict.features)
    chance = "p < 0.001" if verdict.p_value < 0.001 else f"p = {verdict.p_value:.3f}"
    if worst:
        names = ", ".join(feature.name for feature in worst[:3]) + (", ..." if len(worst) > 3 else "")
        change = f"{len(worst)} of {total} features changed ({names})"
    else:
        change = "many features changed a little, or go together in another way; no single one stands out"
    summary = f"Live data differs from validation data: {change}; {chance}"
    advice = []
    if gone := [f.name for f in worst if f.missing_current > f.missing_reference + 0.05]:
        advice.append(f"Values are missing more often than before in: {', '.join(gone[:5])}. Check what fills them.")
    if any(f.name.startswith("prediction") for f in worst):
        advice.append("The mix of predictions changed too, so users already get other answers than before.")
    advice += [
        "Look at the changed features below: a new sensor, unit, camera, client or season is the usual cause.",
        "Send true labels for these predictions to /v1/feedback to see whether the model still does its job.",
        "If the change is here to stay, train again with data from now on.",
    ]
    return summary, advice


class Notifier:
    """Tells the sinks about alerts from a thread of its own, and remembers in the store what each was told.

    A sink hears of each state once; when it cannot be reached it is tried again, also after a restart.

    Args:
        store: holds the alerts.
        model: whose alerts.
        sinks: by name.
    """

    def __init__(self, store: Store, model: str, sinks: Mapping[str, Sink]) -> None:
        self._store, self._model, self._sinks = store, model, sinks
        self._rounds, self._closing = Rounds(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="lamplighter-notifier", daemon=True)
        self._rounds.ask()
        self._thread.start()

    def wake(self) -> None:
        """Say that an alert has changed."""
        self._rounds.ask()

    def wait(self, timeout: float) -> bool:
        """Wait until the sinks have been told, or given up on for now."""
        return self._rounds.wait_all(timeout)

    def close(self, timeout: float = 5.0) -> None:
        """Finish the round that is under way and stop."""
        if not self._closing.is_set():
            self._rounds.wait_all(timeout)
        self._closing.set()
        self._rounds.ask()
        self._thread.join(timeout)

    def _run(self) -> None:
        done = True
        while True:
            number = self._rounds.begin(None if done else TRY_AGAIN_SECONDS)
            if self._closing.is_set():
                return
            try:
                done = self._deliver()
            except SQLAlchemyError as error:
                logger.warning("cannot read alerts: %s", error)
                done = False
            except Exception:  # alerts that cannot be read must not end the thread that announces the next ones
                logger.exception("alerts were not delivered; trying again")
                done = False
            self._rounds.finish(number)

    def _deliver(self) -> bool:
        """Send what has not been sent; False when something is left."""
        done = True
        for row in reversed(self._store.latest_alerts(self._model, limit=20)):
            for name, sink in self._sinks.items():
                told = row["delivered"].get(name)
                if told == row["state"]:
                    continue
                unheard = row["state"] == "resolved" and told is None  # it came and went unannounced: keep quiet
                fields = {field: row[field] for field in Alert.__dataclass_fields__}
                if not unheard and not self._send(name, sink, Alert(**fields)):
                    done = False
                    continue
                row["delivered"][name] = row["state"]
                self._store.mark_delivered(row["id"], row["delivered"])
        return done

    def _send(self, name: str, sink: Sink, alert: Alert) -> bool:
        pause = FIRST_PAUSE
        for attempt in range(1, RETRIES + 1):
            try:
                sink.send(alert)
                return True
            except Exception as error:  # noqa: BLE001 - a user's sink may raise anything; the other sinks still count
                logger.warning("alert sink '%s', attempt %d of %d: %s", name, attempt, RETRIES, error)
            if attempt == RETRIES or self._closing.wait(pause):
                break
            pause *= 2
        return False
