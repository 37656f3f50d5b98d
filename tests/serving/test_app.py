"""The application as any ASGI server would run it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from lamplighter.core import recipe
from lamplighter.serving.app import create_app


def request(app: Any, path: str, content: Any = None) -> tuple[int, Any]:
    async def talk() -> tuple[int, Any]:
        sent: list[dict[str, Any]] = []
        body = b"" if content is None else json.dumps(content).encode()
        incoming = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            return incoming.pop() if incoming else await asyncio.Future()

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "GET" if content is None else "POST",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(b"content-type", b"application/json"), (b"host", b"x")],
            "scheme": "http",
            "server": ("x", 80),
        }
        await app(scope, receive, send)
        text = b"".join(message.get("body", b"") for message in sent)
        return sent[0]["status"], json.loads(text)

    return asyncio.run(talk())


def test_before_its_start_and_after_its_stop_the_application_says_so(make_table: Any) -> None:
    app = create_app([make_table()], serve=recipe.Serve())
    assert request(app, "/health/ready")[0] == 503
    status, answer = request(app, "/v1/models/prices/predict", {"rows": [{"rooms": 1}]})
    assert (status, answer["error"]["message"]) == (503, "the server is starting")

    async def life() -> None:
        await app.start()
        assert app.status == "ready"
        await app.stop()

    asyncio.run(life())
    status, answer = request(app, "/v1/models/prices/predict", {"rows": [{"rooms": 1}]})
    assert (status, answer["error"]["message"]) == (503, "the server is shutting down")
    assert request(app, "/health/ready")[1]["status"] == "stopped"


def test_first_use_is_paid_before_the_first_client(make_table: Any) -> None:
    bundle = make_table()
    create_app([bundle], serve=recipe.Serve(max_batch=16))
    assert bundle.batches == [1, 16]
