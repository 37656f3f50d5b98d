"""The hot route through a real server on a real port."""

from __future__ import annotations

import base64
import concurrent.futures
import http.client
import io
import json
import logging
import socket
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image


def call(
    server: Any, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
    finally:
        connection.close()


def post(server: Any, content: Any, model: str = "prices") -> tuple[int, dict[str, Any]]:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    status, _, answer = call(
        server, "POST", f"/v1/models/{model}/predict", body, {"Content-Type": "application/json; charset=utf-8"}
    )
    return status, json.loads(answer)


def png(value: int, size: int = 6) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((size, size), value, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def test_answer_has_an_id_for_each_row_and_the_version(serve: Any, make_table: Any) -> None:
    server = serve(make_table())
    status, answer = post(server, {"rows": [{"rooms": 3}, {"rooms": 4.5}]})
    assert status == 200
    assert (answer["model"], answer["version"]) == ("prices", "7")
    assert [p["value"] for p in answer["predictions"]] == [7.0, 10.0]
    assert list(answer["predictions"][0]) == ["id", "value"]
    ids = [p["id"] for p in answer["predictions"]]
    assert len(set(ids)) == 2 and all(len(id_) == 32 for id_ in ids)


def test_hundreds_of_concurrent_requests_each_get_their_own_answer(serve: Any, make_table: Any) -> None:
    bundle = make_table()
    bundle.delay = 0.002
    server = serve(bundle)
    host = urlsplit(server.url).netloc
    barrier = threading.Barrier(32)

    def one_client(number: int) -> list[str]:
        random = np.random.default_rng(number)
        connection = http.client.HTTPConnection(host, timeout=30)
        ids: list[str] = []
        barrier.wait()
        for _ in range(25):
            rooms = random.uniform(-1e4, 1e4, int(random.integers(1, 6))).tolist()
            body = json.dumps({"rows": [{"rooms": value} for value in rooms]})
            connection.request("POST", "/v1/models/prices/predict", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = json.loads(response.read())
            assert response.status == 200, answer
            got = [prediction["value"] for prediction in answer["predictions"]]
            assert got == [float(2 * np.float32(value) + 1) for value in rooms]
            ids += [prediction["id"] for prediction in answer["predictions"]]
        connection.close()
        return ids

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        ids = [id_ for part in pool.map(one_client, range(32)) for id_ in part]
    assert len(ids) == len(set(ids))
    assert max(bundle.batches[2:]) > 5, "nothing was batched"
    assert max(bundle.batches[2:]) <= 32
    assert len(bundle.threads - {threading.current_thread().name}) == 1


def test_a_request_of_more_rows_than_a_batch_is_split(serve: Any, make_table: Any) -> None:
    bundle = make_table(max_batch=8)
    server = serve(bundle)
    status, answer = post(server, {"rows": [{"rooms": i} for i in range(101)]})
    assert status == 200
    assert [p["value"] for p in answer["predictions"]] == [2.0 * i + 1 for i in range(101)]
    assert max(bundle.batches) == 8


def test_a_broken_row_names_itself_and_harms_nobody(serve: Any, make_table: Any) -> None:
    bundle = make_table()
    bundle.delay = 0.005
    server = serve(bundle)

    def good(number: int) -> bool:
        status, answer = post(server, {"rows": [{"rooms": number}]})
        return status == 200 and answer["predictions"][0]["value"] == 2.0 * number + 1

    def bad(_: int) -> bool:
        status, answer = post(server, {"rows": [{"rooms": 1}, {"rooms": "many"}]})
        return (status, answer["error"]["row"], answer["error"]["field"]) == (422, 1, "rooms")

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        results = [pool.submit(good if i % 2 else bad, i) for i in range(100)]
        assert all(result.result() for result in results)
    assert server.app.models[0].batcher.waiting == 0, "refused rows still hold room in the queue"


def test_a_request_that_breaks_the_network_fails_alone(
    serve: Any, make_table: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = make_table()
    server = serve(bundle)
    bundle.bad = 13.0
    bundle.go.clear()
    with concurrent.futures.ThreadPoolExecutor(9) as pool:
        first = pool.submit(post, server, {"rows": [{"rooms": 1}]})  # occupies the worker; the rest gather behind it
        time.sleep(0.1)
        rest = {rooms: pool.submit(post, server, {"rows": [{"rooms": rooms}]}) for rooms in (11, 12, 13, 14)}
        time.sleep(0.1)
        bundle.go.set()
        assert first.result()[0] == 200
        for rooms in (11, 12, 14):
            status, answer = rest[rooms].result()
            assert (status, answer["predictions"][0]["value"]) == (200, 2.0 * rooms + 1)
        status, answer = rest[13].result()
    assert status == 500
    assert "network broke" not in json.dumps(answer), "the client was told internals"
    assert answer["error"]["id"] in caplog.text and "the network broke" in caplog.text


def test_a_bug_is_answered_with_an_id_and_logged(serve: Any, make_table: Any, caplog: pytest.LogCaptureFixture) -> None:
    server = serve(make_table())
    with caplog.at_level(logging.ERROR):
        status, answer = post(server, {"rows": [{"rooms": -404}]})
    assert status == 500
    assert "secret" not in json.dumps(answer) and "Traceback" not in json.dumps(answer)
    assert answer["error"]["id"] in caplog.text and "secret" in caplog.text
    assert post(server, {"rows": [{"rooms": 1}]})[0] == 200


def test_a_full_queue_is_refused_at_once(serve: Any, make_table: Any) -> None:
    bundle = make_table(max_batch=2, max_queue=4)
    server = serve(bundle)
    bundle.go.clear()
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(post, server, {"rows": [{"rooms": i}]}) for i in range(20)]
        time.sleep(0.3)
        started = time.monotonic()
        status, headers, body = call(
            server,
            "POST",
            "/v1/models/prices/predict",
            b'{"rows":[{"rooms":1}]}',
            {"Content-Type": "application/json"},
        )
        assert time.monotonic() - started < 0.2, "a refusal must not wait"
        assert status == 503 and int(headers["retry-after"]) >= 1
        assert "queue is full" in json.loads(body)["error"]["message"]
        bundle.go.set()
        statuses = [future.result()[0] for future in waiting]
    assert statuses.count(200) == 4 + bundle.batches[2] and statuses.count(503) == 20 - statuses.count(200)
    assert post(server, {"rows": [{"rooms": 1}]})[0] == 200


def test_more_rows_than_the_queue_ever_holds(serve: Any, make_table: Any) -> None:
    server = serve(make_table(max_queue=4))
    status, answer = post(server, {"rows": [{"rooms": 1}] * 5})
    assert status == 413 and "at most 4" in answer["error"]["message"]


def test_rows_of_a_client_that_left_are_never_computed(serve: Any, make_table: Any) -> None:
    bundle = make_table(max_batch=1)
    server = serve(bundle)
    bundle.go.clear()
    body = b'{"rows": [{"rooms": 666}]}'
    head = (
        "POST /v1/models/prices/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first = pool.submit(post, server, {"rows": [{"rooms": 1}]})
        time.sleep(0.1)
        parts = urlsplit(server.url)
        leaver = socket.create_connection((parts.hostname, parts.port))
        leaver.sendall(head.encode() + body)
        time.sleep(0.2)
        leaver.close()
        time.sleep(0.2)
        last = pool.submit(post, server, {"rows": [{"rooms": 2}]})
        time.sleep(0.1)
        bundle.go.set()
        assert first.result()[0] == last.result()[0] == 200
    assert 666.0 not in bundle.computed
    assert server.app.models[0].batcher.waiting == 0
    metrics = call(server, "GET", "/metrics")[2].decode()
    assert 'lamplighter_requests_total{model="prices",status="499",version="7"} 1.0' in metrics


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "not valid JSON"),
        (b'{"rows": [{"rooms": 1},\n  {"rooms" 2}]}', 400, "line 2, column 12"),
        (b'{"rows": [{"rooms": NaN}]}', 400, "not valid JSON"),
        (b"\xff\xfe", 400, "not valid JSON"),
        (b"[1, 2]", 422, "must be an object"),
        (b'{"instances": [1]}', 422, "'instances'"),
        (b'{"rows": [], "x": 1}', 422, "'x'"),
        (b'{"rows": []}', 422, "at least one row"),
        (b'{"rows": {"rooms": 1}}', 422, "must be a list"),
        (b'{"rows": ["/etc/passwd"]}', 422, "row 0"),
        (b'{"rows": [{"rooms": 1}, null]}', 422, "row 1"),
    ],
)
def test_bad_bodies(serve: Any, make_table: Any, body: bytes, status: int, words: str) -> None:
    got, answer = post(serve(make_table()), body)
    assert got == status
    assert words in answer["error"]["message"]


def test_wrong_method_model_and_media_type(serve: Any, make_table: Any, make_image: Any) -> None:
    server = serve(make_table(), make_image())
    status, headers, body = call(server, "GET", "/v1/models/prices/predict")
    assert status == 405 and headers["allow"] == "POST"
    status, _, body = call(server, "POST", "/v1/models/price/predict", b"{}")
    message = json.loads(body)["error"]["message"]
    assert status == 404 and "did you mean 'prices'" in message and "prices, light" in message
    for path, kind in [
        ("prices", "image/png"),
        ("prices", "multipart/form-data; boundary=x"),
        ("light", "text/csv"),
        ("light", "application/x-www-form-urlencoded"),
    ]:
        status, _, body = call(server, "POST", f"/v1/models/{path}/predict", b"x", {"Content-Type": kind})
        assert status == 415, (path, kind)
        assert "application/json" in json.loads(body)["error"]["message"]
    status, _, body = call(server, "POST", "/v1/models/prices/predict", b"x", {"Content-Encoding": "gzip"})
    assert status == 415 and "gzip" in json.loads(body)["error"]["message"]


def test_oversize_body_by_length_and_while_streaming(serve: Any, make_table: Any) -> None:
    server = serve(make_table(max_body_mb=0.01))
    status, answer = post(server, b" " * 10_001)
    assert status == 413 and "0.01 MB" in answer["error"]["message"]
    assert post(server, b" " * 10_000)[0] == 400, "just within the limit: read, and found to be no JSON"
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    pieces = (b" " * 1000 for _ in range(100))
    headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    connection.request("POST", "/v1/models/prices/predict", pieces, headers, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()
    assert post(server, {"rows": [{"rooms": 1}]})[0] == 200


def test_image_uploads_in_every_form(serve: Any, make_image: Any) -> None:
    server = serve(make_image())
    path = "/v1/models/light/predict"
    for kind in ("image/png", "application/octet-stream"):
        status, _, body = call(server, "POST", path, png(250), {"Content-Type": kind})
        prediction = json.loads(body)["predictions"][0]
        assert (status, prediction["label"]) == (200, "light")
        assert prediction["probabilities"]["light"] == pytest.approx(250 / 255)
    form = b"".join(
        b'--sep\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + png(value) + b"\r\n"
        for value in (10, 200, 30)
    )
    form += b'--sep\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n--sep--\r\n'
    status, _, body = call(server, "POST", path, form, {"Content-Type": "multipart/form-data; boundary=sep"})
    assert status == 200
    assert [p["label"] for p in json.loads(body)["predictions"]] == ["dark", "light", "dark"]
    rows: list[Any] = [
        {"image": base64.b64encode(png(40)).decode()},
        {"image": "data:image/png;base64," + base64.encodebytes(png(220)).decode()},
        np.full((3, 5), 60).tolist(),
        {"image": np.full((3, 5, 1), 255).tolist()},
    ]
    status, answer = post(server, {"rows": rows}, "light")
    assert status == 200, answer
    light = [p["probabilities"]["light"] for p in answer["predictions"]]
    assert light == pytest.approx([40 / 255, 220 / 255, 60 / 255, 1.0])


def test_what_is_no_image(serve: Any, make_image: Any) -> None:
    server = serve(make_image())
    path = "/v1/models/light/predict"
    for body in (b"", b"hello", png(1)[:45]):
        status, _, answer = call(server, "POST", path, body, {"Content-Type": "image/png"})
        assert status == 415, body
        assert json.loads(answer)["error"]["row"] == 0
    for row in ({"image": "no base64!"}, {"image": ""}, {"image": 5}, {"image": [["a"]]}, {"image": [[1], [1, 2]]}):
        status, answer = post(server, {"rows": [[[0]], row]}, "light")
        assert status in (415, 422), row
        assert answer["error"]["row"] == 1 and answer["error"]["field"] == "image", answer
    for row in ({"image": "no base64!"}, {"image": 5}):
        assert post(server, {"rows": [row]}, "light")[0] == 422, row
    for row in ({"picture": "aaaa"}, {"image": [[1]], "x": 1}, 5, None):
        assert post(server, {"rows": [row]}, "light")[0] in (415, 422), row
    form = b'--sep\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc'
    status, _, answer = call(server, "POST", path, form, {"Content-Type": "multipart/form-data; boundary=sep"})
    assert status == 400 and "cut short" in json.loads(answer)["error"]["message"]


def test_a_small_file_with_too_many_pixels_is_refused_by_its_head(serve: Any, make_image: Any) -> None:
    file = io.BytesIO()
    Image.new("1", (6000, 5000)).save(file, "PNG")
    status, _, answer = call(
        serve(make_image()), "POST", "/v1/models/light/predict", file.getvalue(), {"Content-Type": "image/png"}
    )
    assert status == 422
    assert "6000 x 5000 pixels are more than the 25 million" in json.loads(answer)["error"]["message"]


def test_text_from_a_client_is_never_opened_as_a_file(serve: Any, make_image: Any, tmp_path: Any) -> None:
    """A row with the path of a real image on the server must be refused, in every place where text can stand."""
    # its name is valid base64 too: four letters a group
    secret = tmp_path / "secretpicture123"
    secret.write_bytes(png(250))
    server = serve(make_image())
    for value in (str(secret), f"file://{secret}", secret.name):
        for row in (value, {"image": value}, {"image": [value]}, [value], [[value]]):
            status, answer = post(server, {"rows": [row]}, "light")
            assert status in (415, 422), (row, answer)
    form = (
        b'--sep\r\nContent-Disposition: form-data; name="file"; filename="'
        + str(secret).encode()
        + b'"\r\n\r\n'
        + str(secret).encode()
        + b"\r\n--sep--\r\n"
    )
    path = "/v1/models/light/predict"
    assert call(server, "POST", path, form, {"Content-Type": "multipart/form-data; boundary=sep"})[0] == 415
    assert call(server, "POST", path, str(secret).encode(), {"Content-Type": "image/png"})[0] == 415


def test_every_prediction_is_recorded_with_its_own_features(serve: Any, make_table: Any, make_monitor: Any) -> None:
    monitor = make_monitor()
    bundle = make_table(max_batch=8)
    bundle.delay = 0.002
    server = serve(bundle, monitors={"prices": monitor})

    def one(number: int) -> list[tuple[str, float]]:
        rooms = [number * 100 + i for i in range(1 + number % 11)]
        answer = post(server, {"rows": [{"rooms": value} for value in rooms]})[1]
        return list(zip((p["id"] for p in answer["predictions"]), rooms))

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        sent = dict(pair for part in pool.map(one, range(60)) for pair in part)
    recorded: dict[str, float] = {}
    for ids, features, scores, latency in monitor.records:
        assert 0 < latency < 10
        np.testing.assert_array_equal(2 * features + 1, scores)
        recorded.update(zip(ids, features[:, 0].tolist()))
    assert recorded == sent


def test_a_failing_monitor_does_not_cost_an_answer(
    serve: Any, make_table: Any, make_monitor: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(type(make_monitor())):  # type: ignore[misc]
        def record(self, *_: Any) -> None:
            raise RuntimeError("disk on fire")

    server = serve(make_table(), monitors={"prices": Broken()})
    assert post(server, {"rows": [{"rooms": 3}]})[1]["predictions"][0]["value"] == 7.0
    assert "disk on fire" in caplog.text


def test_health_answers_at_once_under_full_load(serve: Any, make_table: Any) -> None:
    bundle = make_table()
    bundle.delay = 0.05
    server = serve(bundle)
    stop = threading.Event()

    def load() -> int:
        count = 0
        while not stop.is_set():
            count += post(server, {"rows": [{"rooms": 1}] * 20})[0] in (200, 503)
        return count

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        loaders = [pool.submit(load) for _ in range(16)]
        time.sleep(0.3)
        times = []
        for _ in range(20):
            started = time.monotonic()
            assert call(server, "GET", "/health/live")[0] == 200
            times.append(time.monotonic() - started)
        stop.set()
        assert sum(loader.result() for loader in loaders) > 0
    assert sorted(times)[10] < 0.1, times
