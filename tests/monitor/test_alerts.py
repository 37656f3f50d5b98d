"""When alerts start and end, and that each sink hears of each state once."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from lamplighter.monitor import alerts
from lamplighter.monitor.alerts import Alert, Notifier, describe, transition
from lamplighter.monitor.drift import FeatureDrift, Finding, Verdict
from lamplighter.monitor.store import Store


def _stream(drifted: list[bool], persistence: int) -> list[str | None]:
    is_open, changes = False, []
    for i in range(len(drifted)):
        change = transition(is_open, drifted[: i + 1][::-1], persistence)
        is_open = {"open": True, "resolve": False, None: is_open}[change]
        changes.append(change)
    return changes


def test_one_alert_for_one_episode() -> None:
    assert _stream([False, True, True, True, False, False], 1) == [None, "open", None, None, "resolve", None]
    assert _stream([True, False, True, True, True, False, True, False, False], 2) == [
        *[None] * 3,
        "open",
        *[None] * 4,
        "resolve",
    ]


def test_words_name_the_features_or_say_that_none_stands_out() -> None:
    features = tuple(
        FeatureDrift(n, "chi-square", 1, 0.001, 0.002, e, missing_current=g, drifted=True)
        for n, e, g in (("age", 0.2, 0.0), ("income", 0.9, 0.5), ("prediction", 0.3, 0.0), ("zip", 0.1, 0.0))
    )
    summary, advice = describe(Verdict(True, 0.002, 0.05, 0.1, 100, 100, features))
    assert "4 of 4 features changed (income, prediction, age, ...); p = 0.002" in summary
    assert "missing more often than before in: income" in advice[0] and "mix of predictions" in advice[1]
    summary, _ = describe(Verdict(True, 1e-9, 0.05, 0.1, 100, 100, (), (Finding(1e-9, 0.4),)))
    assert "no single one stands out; p < 0.001" in summary


class Ear:
    """Hears alerts; deaf for the first ``deaf`` calls."""

    def __init__(self, deaf: int = 0, error: Exception | None = None) -> None:
        self.heard: list[tuple[str, float | None]] = []
        self.calls, self.deaf, self.error = 0, deaf, error or OSError("no route")

    def send(self, alert: Alert) -> None:
        self.calls += 1
        if self.calls <= self.deaf:
            raise self.error
        self.heard.append((alert.state, alert.ended))


def _window(number: int) -> dict[str, Any]:
    window = {"model": "m", "version": "1", "number": number, "first_seq": 1, "last_seq": 2, "started": 0.0}
    return window | {"ended": 9.0, "n": 100, "drifted": 1, "p_value": 0.001, "verdict": "{}"}


def _alert() -> dict[str, Any]:
    alert = {"name": "data-drift", "model": "m", "version": "1", "state": "firing", "started": 9.0, "ended": None}
    return alert | {"summary": "s", "details": json.dumps({"advice": ["look"]}), "delivered": "{}"}


def _tell(notifier: Notifier) -> None:
    notifier.wake()
    assert notifier.wait(10)


def test_each_sink_hears_of_each_state_once_and_across_restarts(store: Store) -> None:
    good, late = Ear(), Ear()
    store.add_window(_window(0), _alert(), None)
    notifier = Notifier(store, "m", {"good": good})
    for _ in range(3):
        _tell(notifier)
    notifier.close()
    notifier = Notifier(store, "m", {"good": good, "late": late})  # a restart, with one sink more
    _tell(notifier)
    assert good.heard == late.heard == [("firing", None)]
    store.add_window(_window(1), None, (store.latest_alerts("m", 1)[0]["id"], 20.0))
    _tell(notifier)
    notifier.close()
    assert good.heard == late.heard == [("firing", None), ("resolved", 20.0)]


@pytest.mark.parametrize("error", [OSError("no route"), RuntimeError("a bug of the sink")])
def test_a_deaf_sink_is_tried_again_and_the_others_do_not_wait_in_vain(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(alerts, "FIRST_PAUSE", 0.001)
    deaf, good = Ear(deaf=3, error=error), Ear()
    store.add_window(_window(0), _alert(), None)
    with caplog.at_level(logging.WARNING):
        notifier = Notifier(store, "m", {"deaf": deaf, "good": good})
        assert notifier.wait(10)
    notifier.close()
    assert deaf.heard == good.heard == [("firing", None)] and deaf.calls == 4
    assert "attempt 1 of 5" in caplog.text


def test_a_sink_that_never_answers_is_given_up_for_now(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "FIRST_PAUSE", 0.001)
    gone = Ear(deaf=1000)
    store.add_window(_window(0), _alert(), None)
    notifier = Notifier(store, "m", {"gone": gone})
    assert notifier.wait(10)
    notifier.close()
    assert gone.calls == alerts.RETRIES and store.latest_alerts("m", 1)[0]["delivered"] == {}


def test_what_came_and_went_unannounced_is_not_announced_late(store: Store) -> None:
    store.add_window(_window(0), _alert(), None)
    store.add_window(_window(1), None, (store.latest_alerts("m", 1)[0]["id"], 20.0))
    ear = Ear()
    notifier = Notifier(store, "m", {"ear": ear})
    assert notifier.wait(10)
    notifier.close()
    assert ear.heard == []


def test_fingerprint_stays_the_same_over_states() -> None:
    made = [
        Alert("data-drift", "m", v, s, 1.0, None, "", {})
        for v, s in (("1", "firing"), ("1", "resolved"), ("2", "firing"))
    ]
    assert made[0].fingerprint == made[1].fingerprint != made[2].fingerprint
