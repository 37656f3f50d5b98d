"""What can go wrong with one request, and the JSON a client reads about it."""

from __future__ import annotations

import logging
import secrets
from typing import Any

from lamplighter.core.errors import InputError, LamplighterError

logger = logging.getLogger("lamplighter.serving")

Header = tuple[bytes, bytes]


class RequestError(LamplighterError):
    """A request that cannot be answered.

    Args:
        message: what is wrong and what to do.
        status: HTTP status.
        headers: extra headers of the answer, for instance ``Allow``.
    """

    def __init__(self, message: str, status: int, headers: tuple[Header, ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class UnavailableError(RequestError):
    """The server cannot take this request now; the client may repeat it after ``retry_after`` seconds."""

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message, 503, ((b"retry-after", str(retry_after).encode()),))


class DeadlineError(RequestError):
    """The request waited so long that it was given up before it was computed."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"not computed within {seconds:g} seconds; the server is overloaded", 504)


class ClientGoneError(Exception):
    """The client closed the connection; nobody will read an answer."""


def describe(error: LamplighterError) -> tuple[int, dict[str, Any], tuple[Header, ...]]:
    """Status, JSON body and extra headers of an error meant for the client.

    >>> describe(InputError("must be a number", row=2, field="rooms"))[1]
    {'error': {'message': "row 2, field 'rooms': must be a number", 'row': 2, 'field': 'rooms'}}
    """
    content: dict[str, Any] = {"message": str(error)}
    if isinstance(error, InputError):
        if error.row is not None:
            content["row"] = error.row
        if error.field is not None:
            content["field"] = error.field
    return error.status, {"error": content}, getattr(error, "headers", ())


def describe_bug(error: BaseException) -> tuple[int, dict[str, Any], tuple[Header, ...]]:
    """The answer to an error of ours: the client gets an id, the log gets the traceback under the same id."""
    error_id = secrets.token_hex(8)
    logger.error("error %s while answering a request", error_id, exc_info=error)
    message = f"internal error {error_id}; the server's log has the details under this id"
    return 500, {"error": {"message": message, "id": error_id}}, ()
