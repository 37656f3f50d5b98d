"""The application as any ASGI server would run it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from lamplighter.serving.app import create_app
from lamplighter.serving.errors import RequestError


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
    app = create_app([make_table()], monitoring=False)
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
    create_app([bundle], overrides=["serve.max_batch=16"], monitoring=False)
    assert bundle.batches == [1, 16]


def test_each_model_has_the_limits_of_its_own_recipe(make_table: Any) -> None:
    small, large = make_table("small", max_batch=2, max_body_mb=0.0001), make_table("large", max_queue=7)
    app = create_app([small, large], monitoring=False)
    assert [(model.batcher.max_batch, model.batcher.max_queue) for model in app.models] == [(2, 1024), (32, 7)]
    assert (small.batches, large.batches) == ([1, 2], [1, 32])
    rows = {"rows": [{"rooms": 1, "city": "a city with a name longer than the body of a small model may be"}] * 2}
    statuses = {}

    asyncio.run(app.start())
    for name in ("small", "large"):
        app._hot[f"/v1/models/{name}/predict"].model.batcher.admit = refuse  # type: ignore[method-assign]
        statuses[name] = request(app, f"/v1/models/{name}/predict", rows)[0]
    feedback = [{"id": "a" * 200, "value": 1.0}]
    assert request(app, "/v1/feedback", feedback)[1]["error"]["message"].startswith("monitoring is off")
    asyncio.run(app.stop())
    assert statuses == {"small": 413, "large": 418}
    both = create_app([small, large], overrides=["serve.max_batch=5"], monitoring=False)
    assert [model.batcher.max_batch for model in both.models] == [5, 5]


def refuse(rows: int) -> None:
    raise RequestError("read the body", 418)
