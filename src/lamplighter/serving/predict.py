"""The hot route, ``POST /v1/models/{name}/predict``, as bare ASGI: a framework would cost more than a small model."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from lamplighter.core.errors import LamplighterError
from lamplighter.serving import bodies, errors
from lamplighter.serving.errors import ClientGoneError, Header, RequestError
from lamplighter.serving.model import ServedModel
from lamplighter.serving.responses import CLOSE, Receive, Scope, Send, send_json

NO_HEADERS: tuple[Header, ...] = ()


class PredictRoute:
    """Answers prediction requests for one model.

    Args:
        model: who computes.
        draining: whether the server is shutting down; then clients are asked to close their connections.
    """

    def __init__(self, model: ServedModel, draining: Callable[[], bool]) -> None:
        self.model = model
        self.draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        rows = 0
        try:
            content = await self._answer(scope, receive)
            status, headers = 200, NO_HEADERS
            rows = len(content["predictions"])
        except ClientGoneError:
            self.model.metrics.answered(499, time.perf_counter() - started)
            return
        except LamplighterError as error:
            status, content, headers = errors.describe(error)
        except Exception as error:  # noqa: BLE001 - logged with an id which the client is told
            status, content, headers = errors.describe_bug(error)
        if self.draining():
            headers = (*headers, CLOSE)
        await send_json(send, status, content, headers)
        self.model.metrics.answered(status, time.perf_counter() - started, rows)

    async def _answer(self, scope: Scope, receive: Receive) -> dict[str, Any]:
        if scope["method"] != "POST":
            raise RequestError(f"{scope['method']} is not allowed here; use POST", 405, ((b"allow", b"POST"),))
        batcher = self.model.batcher
        if batcher.waiting >= batcher.max_queue:
            batcher.refuse()  # before the body is read: a full server should not spend work on it
        headers = dict(scope["headers"])
        body = await bodies.read_body(receive, headers, self.model.max_body)
        rows = bodies.parse_rows(body, headers, self.model.signature)
        predictions = await self.model.predict(rows, partial(_until_gone, receive))
        return {"model": self.model.name, "version": self.model.version, "predictions": predictions}


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
