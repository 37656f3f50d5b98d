"""The webhook, against a real HTTP server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from lamplighter.core.errors import LamplighterError
from lamplighter.core.registry import build
from lamplighter.monitor.alerts import Alert
from lamplighter.monitor.sinks.webhook import WebhookSink

ALERT = Alert("data-drift", 'a "quoted" name', "3", "firing", 0.5, None, "it moved", {"advice": ["look", "label"]})


class _Receiver(BaseHTTPRequestHandler):
    status = 200
    got: list[tuple[str, Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((self.headers["Content-Type"], json.loads(body)))
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[tuple[str, type[_Receiver]]]:
    handler = type("Handler", (_Receiver,), {"got": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_posts_what_alertmanager_would(receiver: tuple[str, type[_Receiver]]) -> None:
    url, handler = receiver
    build("sink", "webhook", {"url": url, "receiver": "ops"}).send(ALERT)
    ((content_type, body),) = handler.got
    assert content_type == "application/json"
    assert set(body) == {
        "version",
        "groupKey",
        "truncatedAlerts",
        "status",
        "receiver",
        "groupLabels",
        "commonLabels",
        "commonAnnotations",
        "externalURL",
        "alerts",
    }
    assert (body["version"], body["status"], body["receiver"], body["truncatedAlerts"]) == ("4", "firing", "ops", 0)
    assert body["groupKey"] == '{}:{alertname="data-drift", model="a \\"quoted\\" name"}'
    (alert,) = body["alerts"]
    assert alert["startsAt"] == "1970-01-01T00:00:00.500Z" and alert["endsAt"] == "0001-01-01T00:00:00Z"
    assert alert["labels"] == {
        "alertname": "data-drift",
        "model": 'a "quoted" name',
        "version": "3",
        "severity": "warning",
    }
    assert alert["annotations"] == {"summary": "it moved", "description": "look\nlabel"}
    assert alert["fingerprint"] == ALERT.fingerprint


def test_the_end_has_a_time() -> None:
    ended = Alert("data-drift", "m", "1", "resolved", 0.0, 3600.0, "", {})
    assert WebhookSink("http://x").message(ended)["alerts"][0]["endsAt"] == "1970-01-01T01:00:00.000Z"


@pytest.mark.parametrize("status", [400, 500, 503])
def test_a_refusal_is_an_error(receiver: tuple[str, type[_Receiver]], status: int) -> None:
    url, handler = receiver
    handler.status = status
    with pytest.raises(OSError, match=str(status)) as caught:
        WebhookSink(url).send(ALERT)
    caught.value.close()  # type: ignore[attr-defined]


def test_nobody_there_is_an_error(receiver: tuple[str, type[_Receiver]]) -> None:
    with pytest.raises(OSError, match="refused"):
        WebhookSink("http://127.0.0.1:1/").send(ALERT)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x", "nonsense", ""])
def test_only_http_addresses(url: str) -> None:
    with pytest.raises(LamplighterError, match="url"):
        build("sink", "webhook", {"url": url})
