"""Sending answers over bare ASGI, and the headers every answer carries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

from lamplighter.monitor.dashboard import CONTENT_SECURITY_POLICY
from lamplighter.serving.errors import Header

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

NOSNIFF: Header = (b"x-content-type-options", b"nosniff")
PAGE_HEADERS: tuple[Header, ...] = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    NOSNIFF,
)
_JSON: Header = (b"content-type", b"application/json")
LOGGED = "lamplighter.logged"
CLOSE: Header = (b"connection", b"close")


async def send_json(send: Send, status: int, content: Any, headers: tuple[Header, ...] = ()) -> None:
    """Send one JSON answer. Non-finite numbers become ``null``, numpy values are plain numbers."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    start = [_JSON, (b"content-length", str(len(body)).encode()), NOSNIFF, *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})


class PageHeaders:
    """ASGI middleware that adds `PAGE_HEADERS`, and ``Connection: close`` while the server drains.

    Starlette raises an error again after it was answered and logged; here it ends.

    Args:
        app: the wrapped application.
        draining: asked once for each answer.
    """

    def __init__(self, app: ASGIApp, draining: Callable[[], bool]) -> None:
        self.app = app
        self.draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                closing = (CLOSE,) if self.draining() else ()
                message["headers"] = [*message.get("headers", ()), *PAGE_HEADERS, *closing]
            await send(message)

        try:
            await self.app(scope, receive, with_headers)
        except Exception:
            if LOGGED not in scope:
                raise
