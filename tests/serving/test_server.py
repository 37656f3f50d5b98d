"""The process: ports, start and stop, signals under load."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from lamplighter.core.errors import ServingError
from lamplighter.serving.server import check_port, listen, start, url_of

SCRIPT = Path(__file__).with_name("serve_small.py")


def launch(tmp_path: Path, delay: float) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), "0", str(delay), str(tmp_path / "closed")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    host = line.rpartition("http://")[2].strip()
    for _ in range(100):
        try:
            connection = http.client.HTTPConnection(host, timeout=10)
            connection.request("GET", "/health/ready")
            if connection.getresponse().status == 200:
                return process, host
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.05)
    raise AssertionError(process.communicate(timeout=5))


def talk(host: str, counts: dict[str, int], lock: threading.Lock, stop: threading.Event) -> None:
    """A client on one kept-alive connection, until the server asks to close it."""
    connection = http.client.HTTPConnection(host, timeout=20)
    number = 0
    while not stop.is_set():
        number += 1
        body = json.dumps({"rows": [{"rooms": number}]})
        try:
            connection.request("POST", "/v1/models/prices/predict", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, ValueError, http.client.HTTPException) as error:
            outcome = f"dropped: {type(error).__name__}"
            with lock:
                counts[outcome] = counts.get(outcome, 0) + 1
            break
        right = response.status == 200 and answer["predictions"][0]["value"] == 2.0 * number + 1
        outcome = "right" if right else f"wrong {response.status}"
        with lock:
            counts[outcome] = counts.get(outcome, 0) + 1
        if response.will_close:
            break
    connection.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load_drops_nothing(tmp_path: Path, number: signal.Signals) -> None:
    process, host = launch(tmp_path, delay=0.02)
    counts: dict[str, int] = {}
    lock, stop = threading.Lock(), threading.Event()
    clients = [threading.Thread(target=talk, args=(host, counts, lock, stop)) for _ in range(24)]
    for client in clients:
        client.start()
    watcher = http.client.HTTPConnection(host, timeout=10)
    watcher.request("GET", "/health/live")
    watcher.getresponse().read()
    time.sleep(0.7)
    process.send_signal(number)
    time.sleep(0.05)
    watcher.request("GET", "/health/ready")
    assert watcher.getresponse().status == 503
    watcher.close()
    for client in clients:
        client.join(20)
    stop.set()
    out, err = process.communicate(timeout=20)
    assert set(counts) == {"right"} and counts["right"] > 50, counts
    assert process.returncode == 0, err
    assert out.strip().endswith("returned") and "Traceback" not in err
    assert (tmp_path / "closed").read_text() == str(counts["right"]), "the monitor was not flushed"
    with pytest.raises(OSError):
        socket.create_connection(tuple(host.split(":")), timeout=1)  # type: ignore[arg-type]


def test_a_client_between_two_requests_is_told_before_its_connection_closes(tmp_path: Path) -> None:
    process, host = launch(tmp_path, delay=0.0)
    connection = http.client.HTTPConnection(host, timeout=10)
    for pause in (0.0, 0.3):
        time.sleep(pause)
        body = json.dumps({"rows": [{"rooms": 1}]})
        connection.request("POST", "/v1/models/prices/predict", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.status == 200 and response.read()
        assert response.will_close is (pause > 0)
        process.send_signal(signal.SIGTERM)
    connection.close()
    started = time.monotonic()
    process.communicate(timeout=20)
    assert process.returncode == 0 and time.monotonic() - started < 3


def test_a_slow_request_is_finished_and_a_second_interrupt_is_not_patient(tmp_path: Path) -> None:
    process, host = launch(tmp_path, delay=1.0)
    counts: dict[str, int] = {}
    client = threading.Thread(target=talk, args=(host, counts, threading.Lock(), threading.Event()))
    client.start()
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    client.join(10)
    process.communicate(timeout=10)
    assert counts == {"right": 1} and process.returncode == 0

    process, host = launch(tmp_path, delay=8.0)
    client = threading.Thread(target=talk, args=(host, counts, threading.Lock(), threading.Event()))
    client.start()
    time.sleep(0.3)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert time.monotonic() - started < 4
    client.join(10)


def test_port_in_use(make_table: Any) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        for attempt in (lambda: start(make_table(), port=port), lambda: check_port("127.0.0.1", port)):
            with pytest.raises(ServingError) as error:
                attempt()
            assert str(port) in str(error.value) and "--port" in str(error.value)
            assert "\n" not in str(error.value) and error.value.exit_code == 2
    check_port("127.0.0.1", port)


@pytest.mark.parametrize(("host", "port"), [("no-such-host.invalid", 0), ("127.0.0.1", 70000), ("192.0.2.7", 0)])
def test_addresses_that_are_none(host: str, port: int) -> None:
    with pytest.raises(ServingError, match=host.replace(".", r"\.")):
        listen(host, port)


def test_nothing_to_serve_and_two_of_one_name(make_table: Any) -> None:
    with pytest.raises(ServingError, match="no bundle"):
        start([])
    with pytest.raises(ServingError, match="two bundles are named 'prices'"):
        start([make_table(), make_table()], monitoring=False)


def test_start_and_stop(make_table: Any) -> None:
    threads = threading.active_count()
    with start(make_table(), monitoring=False) as server:
        assert server.app.status == "ready"
        host = urlsplit(server.url).netloc
        connection = http.client.HTTPConnection(host, timeout=5)
        connection.request("GET", "/health/ready")
        assert connection.getresponse().read()
        connection.close()
    server.stop()
    assert server.app.status == "stopped"
    assert threading.active_count() == threads
    with pytest.raises(OSError):
        socket.create_connection(tuple(host.split(":")), timeout=1)  # type: ignore[arg-type]


def test_a_bundle_that_cannot_compute_is_found_before_serving(make_table: Any) -> None:
    bundle = make_table()
    bundle.bad = 0.0
    with pytest.raises(RuntimeError, match="network broke"):
        start(bundle, monitoring=False)


def test_url_of_every_kind_of_address() -> None:
    with listen("0.0.0.0", 0) as everywhere:
        assert url_of(everywhere).startswith("http://127.0.0.1:")
    if socket.has_ipv6 and Path("/proc/net/if_inet6").exists():
        with listen("::1", 0) as six:
            assert url_of(six).startswith("http://[::1]:")
