"""What every alert sink must hold: it takes an alert in both of its states, again and again."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from lamplighter.core import registry
from lamplighter.monitor.alerts import Alert

FIRING = Alert(
    name="data-drift",
    model="digits",
    version="3",
    state="firing",
    started=1_700_000_000.0,
    ended=None,
    summary='Live data differs: "brightness" changed\nin two lines',
    details={"p_value": 1e-9, "alpha": 0.05, "window": 200, "features": [], "advice": ["Look at the camera."]},
)
RESOLVED = dataclasses.replace(FIRING, state="resolved", ended=1_700_000_600.0, details={})


class _Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(params=registry.names("sink"))
def sink(request: pytest.FixtureRequest, address: str) -> Any:
    cases: dict[str, dict[str, Any]] = {"log": {}, "webhook": {"url": address}}
    if request.param not in cases:
        pytest.fail(f"sink '{request.param}' has no parameters to be tried with; add a line in {__file__}")
    return registry.build("sink", request.param, cases[request.param])


@pytest.mark.parametrize("alert", [FIRING, RESOLVED], ids=lambda alert: alert.state)
def test_takes_an_alert(sink: Any, alert: Alert) -> None:
    sink.send(alert)
    sink.send(alert)


def test_both_states_of_an_alert_share_a_fingerprint() -> None:
    assert FIRING.fingerprint == RESOLVED.fingerprint
