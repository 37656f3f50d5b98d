"""Downloads against a real server on this machine that misbehaves in the ways real ones do."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lamplighter.core.errors import DataError
from lamplighter.data import download
from lamplighter.data.download import fetch

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """What to serve, how to fail, and what was asked."""

    def __init__(self) -> None:
        self.content = CONTENT
        self.ranges = True
        self.wrong_range = False
        self.drop_after: list[int] = []
        self.statuses: list[int] = []
        self.asked: list[str | None] = []
        self.url = ""


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.asked.append(asked)
            if state.statuses:
                self.send_error(state.statuses.pop(0))
                return
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and state.ranges else 0
            if start and start >= len(state.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(state.content)}")
                self.end_headers()
                return
            claimed = start + 1 if state.wrong_range else start
            body = state.content[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {claimed}-{len(state.content) - 1}/{len(state.content)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if state.drop_after:
                self.wfile.write(body[: state.drop_after.pop(0)])
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
            else:
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Be quiet."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    state.url = f"http://127.0.0.1:{http.server_address[1]}/file.gz"
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


def get(server: Server, path: Path, **options: Any) -> Path:
    return fetch(server.url, path, options.pop("sha256", SHA256), backoff=0.01, timeout=5, **options)


def test_a_file_arrives_whole(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.gz"
    assert get(server, path) == path
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == ["file.gz"]


def test_a_file_that_is_there_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    get(server, tmp_path / "file.gz")
    get(server, tmp_path / "file.gz")
    assert len(server.asked) == 1


def test_a_damaged_file_is_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.gz").write_bytes(b"damaged")
    get(server, tmp_path / "file.gz")
    assert (tmp_path / "file.gz").read_bytes() == CONTENT


def test_a_lost_connection_is_taken_up_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.drop_after = [300_000, 200_000]
    get(server, tmp_path / "file.gz")
    assert (tmp_path / "file.gz").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-", "bytes=500000-"]


def test_a_later_call_goes_on_with_the_part(server: Server, tmp_path: Path) -> None:
    server.drop_after = [100_000]
    with pytest.raises(DataError, match="connection lost after 100000 of 1024000 bytes"):
        get(server, tmp_path / "file.gz", retries=0)
    assert not (tmp_path / "file.gz").exists()
    assert (tmp_path / "file.gz.part").stat().st_size == 100_000
    get(server, tmp_path / "file.gz")
    assert server.asked[-1] == "bytes=100000-"
    assert (tmp_path / "file.gz").read_bytes() == CONTENT


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.drop_after = [300_000]
    get(server, tmp_path / "file.gz")
    assert (tmp_path / "file.gz").read_bytes() == CONTENT


def test_another_range_than_asked_for_is_not_appended(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.gz.part").write_bytes(CONTENT[:1000])
    server.wrong_range = True
    get(server, tmp_path / "file.gz")
    assert (tmp_path / "file.gz").read_bytes() == CONTENT
    assert server.asked == ["bytes=1000-", None]


def test_a_part_that_is_already_whole(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.gz.part").write_bytes(CONTENT)
    get(server, tmp_path / "file.gz")
    assert (tmp_path / "file.gz").read_bytes() == CONTENT


def test_a_part_longer_than_the_file_starts_over(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.gz.part").write_bytes(CONTENT + b"more")
    get(server, tmp_path / "file.gz")
    assert (tmp_path / "file.gz").read_bytes() == CONTENT


def test_wrong_bytes_are_deleted(server: Server, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + b"!"
    with pytest.raises(DataError, match="wrong content"):
        get(server, tmp_path / "file.gz")
    assert list(tmp_path.iterdir()) == []


def test_wrong_bytes_leave_an_older_file_alone(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.gz").write_bytes(b"older")
    server.content = b"wrong"
    with pytest.raises(DataError, match="wrong content"):
        get(server, tmp_path / "file.gz")
    assert (tmp_path / "file.gz").read_bytes() == b"older"


def test_a_busy_server_is_asked_again_a_missing_file_is_not(server: Server, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    get(server, tmp_path / "file.gz")
    assert len(server.asked) == 3
    server.statuses = [404]
    with pytest.raises(DataError, match="the server answers 404"):
        get(server, tmp_path / "other.gz")
    assert len(server.asked) == 4


def test_retries_end(server: Server, tmp_path: Path) -> None:
    server.statuses = [500] * 9
    with pytest.raises(DataError, match="the server answers 500"):
        get(server, tmp_path / "file.gz", retries=2)
    assert len(server.asked) == 3


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/file"
        with pytest.raises(DataError, match="cannot be downloaded"):
            fetch(url, tmp_path / "file", SHA256, retries=1, backoff=0.01)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_falls_silent_counts_as_lost(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/file"
        with pytest.raises(DataError, match="timed out"):
            fetch(url, tmp_path / "file", SHA256, retries=0, timeout=0.2)


def test_only_the_web_is_asked(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="only http and https"):
        fetch("file:///etc/hostname", tmp_path / "file", SHA256)


def test_plain_lines_where_there_is_no_terminal(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    get(server, tmp_path / "file.gz")
    assert capsys.readouterr().err == "downloading file.gz (1.0 MB)\n"
    get(server, tmp_path / "quiet.gz", progress=False)
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    get(server, tmp_path / "file.gz")
    assert "downloading file.gz" in capsys.readouterr().err


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert download.cache_folder() == tmp_path / "lamplighter"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert download.cache_folder() == tmp_path / ".cache" / "lamplighter"
