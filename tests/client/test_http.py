"""The client against real servers."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lamplighter.client.http import Client, ClientError
from lamplighter.core.errors import LamplighterError

Answer = tuple[int, dict[str, str], bytes]
Script = Callable[[int, str, bytes], Answer | None]


@pytest.fixture
def scripted() -> Iterator[Callable[[Script], str]]:
    """A server whose answers the test decides: ``script(number of the request, path, body)``; ``None`` hangs up."""
    servers: list[ThreadingHTTPServer] = []

    def make(script: Script) -> str:
        count = 0

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                nonlocal count
                count += 1
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                answer = script(count, self.path, body)
                if answer is None:
                    self.close_connection = True
                    return
                status, headers, content = answer
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


OK = (200, {}, b'{"predictions": [{"id": "1", "value": 2}]}')


def test_predicts_on_one_connection(scripted: Any) -> None:
    seen: list[tuple[str, Any]] = []

    def script(number: int, path: str, body: bytes) -> Answer:
        seen.append((path, json.loads(body)))
        return OK

    with Client(scripted(script) + "/", "my model") as client:
        for _ in range(3):
            assert client.predict([{"a": 1}])[0]["value"] == 2
        assert len(client._idle) == 1
    assert seen[0] == ("/v1/models/my%20model/predict", {"rows": [{"a": 1}]})


def test_what_python_has_is_sent_as_json(scripted: Any) -> None:
    import datetime

    seen: list[Any] = []

    def script(number: int, path: str, body: bytes) -> Answer:
        seen.append(json.loads(body)["rows"])
        return OK

    row = {
        "a": np.float32(0.5),
        "b": float("nan"),
        "c": np.int64(3),
        "d": datetime.date(2024, 1, 31),
        "e": None,
        "f": True,
        "g": np.bool_(False),
    }
    with Client(scripted(script), "m") as client:
        client.predict([row, np.arange(4).reshape(2, 2), b"abc"])
        assert seen == [
            [
                {"a": 0.5, "b": None, "c": 3, "d": "2024-01-31", "e": None, "f": True, "g": False},
                [[0, 1], [2, 3]],
                {"image": "YWJj"},
            ]
        ]
        with pytest.raises(ClientError, match="object cannot be sent"):
            client.predict([{"a": object()}])
        with pytest.raises(ClientError, match="infinite"):
            client.predict([{"a": float("inf")}])


def test_retries_while_the_server_is_full_and_waits_as_asked(scripted: Any) -> None:
    url = scripted(
        lambda number, *_: (503, {"Retry-After": "1"}, b'{"error":{"message":"full"}}') if number < 2 else OK
    )
    started = time.monotonic()
    with Client(url, "m") as client:
        assert client.predict([{}])[0]["value"] == 2
    assert 1 <= time.monotonic() - started < 3


def test_retries_are_bounded(scripted: Any) -> None:
    numbers: list[int] = []

    def full(number: int, *_: Any) -> Answer:
        numbers.append(number)
        return 503, {"Retry-After": "0"}, b'{"error":{"message":"full"}}'

    with Client(scripted(full), "m", retries=2) as client, pytest.raises(ClientError, match=r"full \(HTTP 503\)"):
        client.predict([{}])
    assert len(numbers) == 3


def test_other_errors_are_not_repeated_and_carry_row_and_field(scripted: Any) -> None:
    numbers: list[int] = []

    def wrong(number: int, *_: Any) -> Answer:
        numbers.append(number)
        return 422, {}, b'{"error":{"message":"row 1: bad","row":1,"field":"a"}}'

    with Client(scripted(wrong), "m") as client, pytest.raises(LamplighterError) as error:
        client.predict([{}])
    found = error.value
    assert isinstance(found, ClientError)
    assert (found.status, found.row, found.field, len(numbers)) == (422, 1, "a", 1)


def test_a_connection_the_server_closed_is_replaced(scripted: Any) -> None:
    with Client(scripted(lambda number, *_: None if number == 2 else OK), "m") as client:
        client.predict([{}])
        assert client.predict([{}])[0]["value"] == 2


def test_servers_that_are_none(scripted: Any) -> None:
    with Client("http://127.0.0.1:9", "m", timeout=2) as client:
        assert client.ready() is False
        with pytest.raises(ClientError, match="cannot be reached") as error:
            client.predict([{}])
        assert error.value.status == 0
    with Client(scripted(lambda *_: (200, {}, b"<html>")), "m") as client, pytest.raises(ClientError, match="JSON"):
        client.predict([{}])
    with (
        Client(scripted(lambda *_: (502, {}, b"bad gateway")), "m") as client,
        pytest.raises(ClientError, match=r"502: bad"),
    ):
        client.predict([{}])
    with (
        Client(scripted(lambda *_: time.sleep(3) or OK), "m", timeout=0.3) as client,
        pytest.raises(ClientError, match=r"no answer within 0\.3 seconds"),
    ):
        client.predict([{}])
    for url in ("127.0.0.1:8000", "ftp://x", "http://"):
        with pytest.raises(ClientError, match="http://host:port"):
            Client(url)


def test_the_only_model_is_found_by_itself(scripted: Any) -> None:
    def script(names: list[str]) -> Script:
        listing = json.dumps({"models": [{"name": name} for name in names]}).encode()
        return lambda number, path, body: (200, {}, listing) if path == "/v1/models" else OK

    with Client(scripted(script(["one"]))) as client:
        client.predict([{}])
        assert client.model == "one"
    with Client(scripted(script(["one", "two"]))) as client, pytest.raises(ClientError, match="one, two"):
        client.predict([{}])


def test_images(scripted: Any, tmp_path: Path) -> None:
    seen: list[bytes] = []

    def script(number: int, path: str, body: bytes) -> Answer:
        seen.append(body)
        return OK

    stream = io.BytesIO()
    Image.new("L", (2, 2)).save(stream, "PNG")
    file = tmp_path / "a.png"
    file.write_bytes(stream.getvalue())
    with Client(scripted(script), "m") as client:
        for image in (stream.getvalue(), file, str(file)):
            assert client.predict_image(image)["value"] == 2
        assert set(seen) == {stream.getvalue()}
        with pytest.raises(ClientError, match=r"none\.png: No such file"):
            client.predict_image(tmp_path / "none.png")


def test_many_threads_share_a_client(scripted: Any) -> None:
    def script(number: int, path: str, body: bytes) -> Answer:
        value = json.loads(body)["rows"][0]["a"]
        time.sleep(0.001 * (value % 7))
        return 200, {}, json.dumps({"predictions": [{"value": value}]}).encode()

    with Client(scripted(script), "m") as client:
        wrong: list[int] = []

        def work(start: int) -> None:
            for value in range(start, start + 20):
                if client.predict([{"a": value}])[0]["value"] != value:
                    wrong.append(value)

        threads = [threading.Thread(target=work, args=(1000 * i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert len(client._idle) <= 8
