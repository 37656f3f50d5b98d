"""A client for the server, of the standard library alone: keep-alive connections, timeouts, bounded retries."""

from __future__ import annotations

import base64
import http.client
import json
import math
import ssl
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from lamplighter.core.errors import LamplighterError

_SECONDS_AT_MOST = 10.0
"""The longest single wait between two tries, whatever the server asks for."""


class ClientError(LamplighterError):
    """The server could not be reached, or answered with an error.

    Attributes:
        status: HTTP status; 0 when there was no answer.
        row: index of the row at fault, if the server named one.
        field: its column, if the server named one.
    """

    def __init__(self, message: str, status: int, row: int | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.row = row
        self.field = field


class Client:
    """Talks to one server. Safe to share between threads.

    Args:
        url: ``http://host:port`` or ``https://...``, with or without a path before ``/v1``.
        model: name of the model to ask; may be left out when the server has only one.
        timeout: seconds to wait for a connection and for each answer.
        retries: how often a request is repeated when the server says 503 (it is full or restarting), waiting as long
            as its ``Retry-After`` asks, but never longer than 10 seconds at a time.

    Example::

        client = Client("http://127.0.0.1:8000")
        prediction = client.predict([{"rooms": 3, "city": "Bonn"}])[0]
        client.feedback(prediction["id"], 251_000.0)
    """

    def __init__(self, url: str, model: str | None = None, *, timeout: float = 30.0, retries: int = 3) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ClientError(f"'{url}' is not an address; write it as http://host:port", 0)
        self.url = url.rstrip("/")
        self.timeout = timeout
        self.retries = retries
        self._model = model
        self._parts = parts
        self._prefix = parts.path.rstrip("/")
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def predict(self, rows: Iterable[Any]) -> list[dict[str, Any]]:
        """One prediction for each row.

        Args:
            rows: dicts by column; or, for an image model, encoded bytes, paths of files on this side (read here and
                sent) or arrays (height, width[, channels]). NaN is sent as a blank.

        Returns:
            Dicts with ``id`` and ``label``, ``confidence``, ``probabilities`` or ``value`` or ``values``.

        Raises:
            ClientError: with the server's message, its status, row and field.
        """
        content = {"rows": [_row(row) for row in rows]}
        answer = self._json("POST", f"/v1/models/{quote(self.model)}/predict", content)
        predictions: list[dict[str, Any]] = answer["predictions"]
        return predictions

    def predict_texts(self, texts: Iterable[str | Sequence[str]]) -> list[dict[str, Any]]:
        """One prediction for each text, of a model that takes texts.

        Args:
            texts: texts; for a tagging model also lists of words.

        Raises:
            ClientError: as `predict`.
        """
        content = {"rows": [text if isinstance(text, str) else list(text) for text in texts]}
        answer = self._json("POST", f"/v1/models/{quote(self.model)}/predict", content)
        predictions: list[dict[str, Any]] = answer["predictions"]
        return predictions

    def predict_image(self, image: bytes | str | Path) -> dict[str, Any]:
        """The prediction for one image, sent as it is.

        Args:
            image: encoded bytes (PNG, JPEG, ...), or the path of a file on this side.

        Raises:
            ClientError: as `predict`; also when the file cannot be read.
        """
        path = f"/v1/models/{quote(self.model)}/predict"
        answer = self._send("POST", path, _bytes_of(image), "application/octet-stream")
        prediction: dict[str, Any] = answer["predictions"][0]
        return prediction

    def feedback(self, id: str, truth: Any) -> str:
        """Tell what turned out to be true for a prediction.

        Args:
            id: of the prediction.
            truth: the label (text), the value (number), a dict of values by target, or the tag of each word (a list).

        Returns:
            ``"joined"``, or ``"unknown"`` when the server has no such prediction, or another word of the monitor.

        Raises:
            ClientError: a label or target the model does not know.
        """
        truth = _plain(truth)
        item: dict[str, Any] = {"id": id, ("label" if isinstance(truth, str | list) else "value"): truth}
        if self._model is not None:
            item["model"] = self._model
        answer = self._json("POST", "/v1/feedback", item)
        return str(answer["results"][0]["status"])

    def ready(self) -> bool:
        """Whether the server answers and takes requests now. Never raises for a server that does not."""
        try:
            status, _, _ = self._exchange("GET", "/health/ready", None, "")
        except ClientError:
            return False
        return status == 200

    def models(self) -> list[dict[str, Any]]:
        """What the server serves: name, version, kind, labels, targets."""
        models: list[dict[str, Any]] = self._json("GET", "/v1/models", None)["models"]
        return models

    @property
    def model(self) -> str:
        """Name of the model asked; found out once if it was not given."""
        if self._model is None:
            names = [model["name"] for model in self.models()]
            if len(names) != 1:
                raise ClientError(f"{self.url} serves several models; say which: {', '.join(names)}", 0)
            self._model = names[0]
        return self._model

    def close(self) -> None:
        """Close idle connections; the client can still be used and opens new ones."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _json(self, method: str, path: str, content: Any) -> Any:
        body = None if content is None else json.dumps(content, allow_nan=False).encode()
        return self._send(method, path, body, "application/json")

    def _send(self, method: str, path: str, body: bytes | None, content_type: str) -> Any:
        for attempt in range(self.retries + 1):
            status, headers, content = self._exchange(method, path, body, content_type)
            if status == 503 and attempt < self.retries:
                time.sleep(_wait(headers.get("retry-after"), attempt))
                continue
            break
        if status == 200:
            return _parse(content, self.url)
        raise _error(status, content, self.url)

    def _exchange(
        self, method: str, path: str, body: bytes | None, content_type: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        """One request and its answer. A kept-alive connection that the server has closed meanwhile is replaced once."""
        headers = {"Content-Type": content_type} if body is not None else {}
        while True:
            with self._lock:
                connection, reused = (self._idle.pop(), True) if self._idle else (self._connect(), False)
            try:
                connection.request(method, self._prefix + path, body, headers)
                response = connection.getresponse()
                content = response.read()
            except (http.client.HTTPException, OSError) as error:
                connection.close()
                if reused and isinstance(error, http.client.RemoteDisconnected | ConnectionError):
                    continue
                raise ClientError(f"{self.url} cannot be reached: {_reason(error, self.timeout)}", 0) from None
            if response.will_close:
                connection.close()
            else:
                with self._lock:
                    self._idle.append(connection)
            return response.status, {name.lower(): value for name, value in response.getheaders()}, content

    def _connect(self) -> http.client.HTTPConnection:
        host = self._parts.hostname or ""
        if self._parts.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, self._parts.port, timeout=self.timeout, context=context)
        return http.client.HTTPConnection(host, self._parts.port, timeout=self.timeout)


def _row(row: Any) -> Any:
    """One row as JSON can carry it; an image becomes ``{"image": base64}``."""
    if isinstance(row, bytes | bytearray | Path | str):
        return {"image": base64.b64encode(_bytes_of(row)).decode()}
    if isinstance(row, Mapping):
        return {
            str(key): base64.b64encode(_bytes_of(value)).decode() if isinstance(value, bytes | Path) else _plain(value)
            for key, value in row.items()
        }
    return _plain(row)


def _plain(value: Any) -> Any:
    """Numpy numbers and arrays, dates and NaN as JSON knows them."""
    if isinstance(value, float):
        if math.isinf(value):
            raise ClientError("an infinite number cannot be sent", 0)
        return None if math.isnan(value) else value
    if isinstance(value, str | int | bool | None):
        return value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    raise ClientError(f"{type(value).__name__} cannot be sent; use numbers, text, dates, lists or dicts", 0)


def _bytes_of(image: bytes | bytearray | str | Path) -> bytes:
    if isinstance(image, bytes | bytearray):
        return bytes(image)
    try:
        return Path(image).read_bytes()
    except OSError as error:
        raise ClientError(f"{image}: {error.strerror}", 0) from None


def _wait(retry_after: str | None, attempt: int) -> float:
    """Seconds before the next try: what the server asks for, else 0.1, 0.2, 0.4, ..."""
    asked = float(retry_after) if retry_after is not None and retry_after.isdigit() else 0.1 * 2**attempt
    return min(asked, _SECONDS_AT_MOST)


def _parse(content: bytes, url: str) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        raise ClientError(f"{url} did not answer with JSON; is it a Lamplighter server?", 200) from None


def _error(status: int, content: bytes, url: str) -> ClientError:
    try:
        error = json.loads(content)["error"]
        return ClientError(f"{error['message']} (HTTP {status})", status, error.get("row"), error.get("field"))
    except (ValueError, KeyError, TypeError):
        return ClientError(f"{url} answered HTTP {status}: {content[:200].decode(errors='replace')}", status)


def _reason(error: Exception, timeout: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout:g} seconds"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
