"""The control plane through a real server: models, feedback, health, metrics, pages, documentation."""

from __future__ import annotations

import http.client
import json
import re
from typing import Any
from urllib.parse import urlsplit

import pytest


def call(
    server: Any, method: str, path: str, content: Any = None, kind: str = "application/json"
) -> tuple[int, dict[str, str], Any]:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    body = content if isinstance(content, bytes) or content is None else json.dumps(content).encode()
    connection.request(method, path, body, {"Content-Type": kind} if body is not None else {})
    response = connection.getresponse()
    headers = {k.lower(): v for k, v in response.getheaders()}
    text = response.read()
    connection.close()
    return response.status, headers, json.loads(text) if "json" in headers.get("content-type", "") else text.decode()


def predict(server: Any, count: int, model: str = "prices") -> list[str]:
    rows = [{"rooms": i} for i in range(count)] if model != "light" else [[[i]] for i in range(count)]
    answer = call(server, "POST", f"/v1/models/{model}/predict", {"rows": rows})[2]
    return [prediction["id"] for prediction in answer["predictions"]]


def test_models(serve: Any, make_table: Any, make_image: Any) -> None:
    server = serve(make_table(), make_image())
    listed = call(server, "GET", "/v1/models")[2]["models"]
    assert [(m["name"], m["version"], m["kind"]) for m in listed] == [
        ("prices", "7", "regression"),
        ("light", "7", "classification"),
    ]
    assert listed[1]["labels"] == ["dark", "light"]
    one = call(server, "GET", "/v1/models/prices")[2]
    assert one["metrics"]["mae"]["n"] == 40 and one["signature"]["inputs"][0]["name"] == "rooms"
    assert "recipe" not in one and "files" not in one
    status, _, answer = call(server, "GET", "/v1/models/lihgt")
    assert status == 404 and "did you mean 'light'" in answer["error"]["message"]


def test_errors_of_the_control_plane_are_json_too(serve: Any, make_table: Any) -> None:
    server = serve(make_table())
    status, _, answer = call(server, "GET", "/nowhere")
    assert status == 404 and "/nowhere" in answer["error"]["message"]
    status, headers, answer = call(server, "DELETE", "/v1/models")
    assert status == 405 and headers["allow"] == "GET" and "DELETE" in answer["error"]["message"]


def test_a_bug_of_the_control_plane_is_answered_with_an_id(
    serve: Any, make_table: Any, make_monitor: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(type(make_monitor())):  # type: ignore[misc]
        def snapshot(self) -> dict[str, Any]:
            raise RuntimeError("a secret")

    server = serve(make_table(), monitors={"prices": Broken()})
    status, _, answer = call(server, "GET", "/models/prices/monitor.json")
    assert status == 500 and "secret" not in json.dumps(answer)
    assert answer["error"]["id"] in caplog.text and caplog.text.count("RuntimeError: a secret") == 1


def test_feedback(serve: Any, make_table: Any, make_image: Any, make_monitor: Any) -> None:
    monitors = {"prices": make_monitor(), "light": make_monitor()}
    server = serve(make_table(), make_image(), monitors=monitors)
    price, light = predict(server, 2), predict(server, 2, "light")
    status, _, answer = call(server, "POST", "/v1/feedback", {"id": price[0], "value": 3})
    assert (status, answer["joined"], answer["unknown"]) == (200, 1, 0)
    items = [
        {"id": price[0], "value": 4.5},
        {"id": light[0], "label": "dark"},
        {"id": "f" * 32, "label": "light"},
        {"id": price[1], "values": {"price": 5}, "model": "prices"},
    ]
    status, _, answer = call(server, "POST", "/v1/feedback", items)
    assert [r["status"] for r in answer["results"]] == ["updated", "joined", "unknown", "joined"]
    assert (answer["joined"], answer["updated"], answer["unknown"]) == (2, 1, 1)
    assert monitors["prices"].truths == {price[0]: 4.5, price[1]: {"price": 5.0}}
    assert monitors["light"].truths == {light[0]: "dark"}


@pytest.mark.parametrize(
    ("content", "field", "words"),
    [
        ({"id": "a", "label": "grey"}, "label", "dark, light"),
        ({"id": "a", "value": 1}, "value", "dark, light"),
        ({"id": "a"}, None, 'either "label" or "value"'),
        ({"id": "a", "values": {"price": 1}}, "values", "dark, light"),
        ({"id": "a", "label": "dark", "value": 1}, None, "either"),
        ({"label": "dark"}, "id", "id of a prediction"),
        ({"id": 5, "label": "dark"}, "id", "id of a prediction"),
        ({"id": "a", "lable": "dark"}, "lable", "did you mean 'label'"),
        ({"id": "a", "label": ["dark"]}, "label", "is not known here"),
        ({"id": "a", "label": [3]}, "label", "must be text"),
        ({"id": "a", "value": "1"}, "value", "must be a number"),
        ({"id": "a", "value": {"x": None}}, "value", "must be a number"),
        ({"id": "a", "label": "dark", "model": "lite"}, "model", "known: light"),
        ("dark", None, "must be an object"),
        ([], None, "empty"),
    ],
)
def test_bad_feedback_joins_nothing(
    serve: Any, make_image: Any, make_monitor: Any, content: Any, field: str | None, words: str
) -> None:
    monitor = make_monitor()
    server = serve(make_image(), monitors={"light": monitor})
    [good] = predict(server, 1, "light")
    several = [{"id": good, "label": "dark"}, content] if content != [] else []
    status, _, answer = call(server, "POST", "/v1/feedback", several)
    assert status == 422
    assert words in answer["error"]["message"]
    assert answer["error"].get("row") == (1 if several else None)
    assert answer["error"].get("field") == field
    assert monitor.truths == {}


def test_feedback_bodies(serve: Any, make_image: Any, make_monitor: Any) -> None:
    server = serve(make_image(max_body_mb=0.001), monitors={"light": make_monitor()})
    assert call(server, "POST", "/v1/feedback", b"{")[0] == 400
    assert call(server, "POST", "/v1/feedback", {"id": "a", "label": "dark"}, "text/plain")[0] == 415
    assert call(server, "POST", "/v1/feedback", b" " * 2000)[0] == 413
    server = serve(make_image())
    status, _, answer = call(server, "POST", "/v1/feedback", {"id": "a", "label": "dark"})
    assert status == 404 and "monitoring is off" in answer["error"]["message"]


def test_health(serve: Any, make_table: Any) -> None:
    server = serve(make_table())
    assert call(server, "GET", "/health/live")[::2] == (200, {"status": "live"})
    assert call(server, "GET", "/health/ready")[::2] == (200, {"status": "ready", "models": ["prices"]})
    server.app.drain()
    status, headers, answer = call(server, "GET", "/health/ready")
    assert (status, answer["status"], headers["connection"]) == (503, "draining", "close")
    assert call(server, "GET", "/health/live")[0] == 200, "a draining server must not be killed as dead"


def test_metrics_count_what_happened(serve: Any, make_table: Any, make_monitor: Any) -> None:
    server = serve(make_table(), monitors={"prices": make_monitor()})
    predict(server, 5)
    predict(server, 2)
    call(server, "POST", "/v1/models/prices/predict", {"rows": [{}]})
    call(server, "POST", "/v1/models/nobody/predict", {"rows": [{}]})
    status, headers, text = call(server, "GET", "/metrics")
    assert status == 200 and headers["content-type"].startswith("text/plain")
    found = dict(re.findall(r"^(\S+) (\S+)$", text, re.M))
    labels = 'model="prices",version="7"'
    assert found['lamplighter_requests_total{model="prices",status="200",version="7"}'] == "2.0"
    assert found['lamplighter_requests_total{model="prices",status="422",version="7"}'] == "1.0"
    assert found[f"lamplighter_predictions_total{{{labels}}}"] == "7.0"
    assert found[f"lamplighter_request_duration_seconds_count{{{labels}}}"] == "3.0"
    assert found[f"lamplighter_batch_rows_sum{{{labels}}}"] == "7.0"
    assert found[f"lamplighter_queue_rows{{{labels}}}"] == "0.0"
    assert found["lamplighter_unknown_model_requests_total"] == "1.0"
    assert "nobody" not in text, "a client's words must not become labels"
    assert found[f"lamplighter_monitor_dropped_records_total{{{labels}}}"] == "4.0"
    assert found[f"lamplighter_drift{{{labels}}}"] == "1.0"
    assert found[f"lamplighter_drift_p_value{{{labels}}}"] == "0.25"
    assert found['lamplighter_drift_effect{feature="rooms",model="prices",version="7"}'] == "0.75"
    assert found['lamplighter_realised_score{metric="mae",model="prices",version="7"}'] == "1.5"
    assert found[f"lamplighter_label_coverage{{{labels}}}"] == "0.5"


def test_two_applications_do_not_share_metrics(serve: Any, make_table: Any) -> None:
    first, second = serve(make_table()), serve(make_table())
    predict(first, 3)
    line = 'lamplighter_predictions_total{model="prices",version="7"}'
    assert f"{line} 3.0" in call(first, "GET", "/metrics")[2]
    assert f"{line} 0.0" in call(second, "GET", "/metrics")[2]


def test_pages(serve: Any, make_table: Any, make_image: Any, make_monitor: Any) -> None:
    one = serve(make_table(), monitors={"prices": make_monitor()})
    assert "dashboard" in call(one, "GET", "/")[2]
    two = serve(make_table(), make_image(), monitors={"prices": make_monitor()})
    status, headers, page = call(two, "GET", "/")
    assert status == 200 and 'href="/models/prices"' in page and 'href="/v1/models/light"' in page
    assert "script-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert "dashboard" in call(two, "GET", "/models/prices")[2]
    assert call(two, "GET", "/models/prices/monitor.json")[2] == {"predictions": 0}
    assert call(two, "GET", "/models/light")[0] == call(two, "GET", "/models/light/monitor.json")[0] == 404
    assert call(two, "GET", "/static/monitor/uPlot.min.css")[0] == 200
    assert call(two, "GET", "/static/monitor/../service.py")[0] == 404
    assert call(two, "GET", "/static/monitor/%2e%2e/service.py")[0] == 404


def test_names_are_escaped(serve: Any, make_table: Any) -> None:
    bundle = make_table("<script>alert(1)</script>")
    server = serve(bundle)
    for path in ("/", "/docs"):
        assert "<script>alert" not in call(server, "GET", path)[2]


def test_docs_work_offline_and_have_examples_that_work(
    serve: Any, make_table: Any, make_image: Any, make_monitor: Any
) -> None:
    server = serve(make_table(), make_image(), monitors={"prices": make_monitor()})
    page = call(server, "GET", "/docs")[2]
    outside = [u for u in re.findall(r'(?:src|href)="([^"]*)"', page) if not u.startswith("/")]
    assert outside == []
    assert "<style" not in page and "onclick" not in page, "the content security policy would block them"
    for path in set(re.findall(r'(?:src|href)="(/[^"]*)"', page)):
        assert call(server, "GET", path)[0] == 200, path
    document = call(server, "GET", "/openapi.json")[2]
    operation = document["paths"]["/v1/models/prices/predict"]["post"]
    example = operation["requestBody"]["content"]["application/json"]["example"]
    assert example == {"rows": [{"rooms": 3.0, "city": "Rome"}]}, "the median of the reference, the first category"
    assert call(server, "POST", "/v1/models/prices/predict", example)[0] == 200
    assert json.dumps(example).replace('"', "&quot;") in page
    assert "curl -F file=@picture.png" in page
    assert set(document["paths"]) >= {"/v1/models/light/predict", "/v1/feedback", "/health/ready", "/metrics"}
    image = document["paths"]["/v1/models/light/predict"]["post"]["requestBody"]["content"]
    assert set(image) == {"application/json", "image/*", "application/octet-stream", "multipart/form-data"}
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer["properties"]["predictions"]["items"]["properties"].keys() == {"id", "value"}
    assert operation["responses"]["422"]["content"]["application/json"]["schema"]["$ref"].endswith("/Error")
    assert "Error" in document["components"]["schemas"]


def test_uptime_checks_may_ask_for_the_head_only(serve: Any, make_table: Any) -> None:
    server = serve(make_table())
    for path in ("/", "/health/live", "/health/ready"):
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
        connection.request("HEAD", path)
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b""), path
        connection.close()
