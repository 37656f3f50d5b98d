"""Real bundles behind a real server with a real monitor, asked by the real client."""

from __future__ import annotations

import concurrent.futures
import io
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lamplighter.bundle.runtime import load_bundle
from lamplighter.client.http import Client, ClientError
from lamplighter.core.errors import BundleError
from lamplighter.metrics.score import Score
from lamplighter.serving.server import start


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of an untrained network: what it answers does not matter, that it is the right answer does."""
    import torch

    from lamplighter.bundle.export import export_bundle
    from lamplighter.data.sources.digits import Digits
    from lamplighter.models.mlp import MLP
    from lamplighter.tasks.classification import Classification

    torch.manual_seed(0)
    source = Digits()
    model = MLP(in_features=64, num_classes=10, hidden=(16,))
    task = Classification(model=model, signature=source.signature, input_statistics=source.statistics()["x"])
    task.eval()
    recipe = {"name": "digits", "bundle": {}, "serve": {"max_batch": 16, "threads": 2}, "monitor": {"window": 50}}
    scores = {"accuracy": Score(value=0.1, n=270, low=0.07, high=0.14)}
    out = tmp_path_factory.mktemp("run") / "bundle"
    return export_bundle(out, task=task, source=source, recipe=recipe, scores=scores, version="3")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    from lamplighter.bundle.export import export_bundle
    from lamplighter.data.sources.table import Table
    from lamplighter.models.mlp import MLP
    from lamplighter.tasks.regression import Regression

    folder = tmp_path_factory.mktemp("table")
    random = np.random.default_rng(0)
    lines = ["rooms,city,price"]
    for _ in range(200):
        rooms = random.integers(1, 9)
        lines.append(
            f"{rooms + random.random():.3f},{random.choice(['Rome', 'Oslo'])},{rooms * 100 + random.random():.2f}"
        )
    (folder / "homes.csv").write_text("\n".join(lines) + "\n")
    torch.manual_seed(0)
    source = Table(path=str(folder / "homes.csv"), target="price")
    width = source.signature.facts()["in_features"]
    task = Regression(model=MLP(in_features=width, num_classes=1, hidden=(8,)), signature=source.signature)
    task.eval()
    scores = {"mae": Score(value=1.0, n=30, low=0.9, high=1.1)}
    return export_bundle(
        folder / "bundle", task=task, source=source, recipe={"name": "homes"}, scores=scores, version="1"
    )


def test_images_from_client_to_answer_to_feedback(digits: Path, tmp_path: Path) -> None:
    from lamplighter.data.sources.digits import Digits

    images = Digits().raw("test", np.arange(120))
    expected = load_bundle(digits).predict(images)
    with (
        start(digits, store_url=f"sqlite:///{tmp_path / 'monitor.sqlite'}") as server,
        Client(server.url) as client,
    ):
        assert client.ready() and client.model == "digits"

        def one(index: int) -> dict[str, Any]:
            if index % 2:
                return client.predict([images[index]])[0]
            stream = io.BytesIO()
            Image.fromarray(images[index]).save(stream, "PNG")
            return client.predict_image(stream.getvalue())

        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            got = list(pool.map(one, range(120)))
        for answer, alone in zip(got, expected):
            assert answer["label"] == alone["label"]
            # a row's sum may be added up in another order in a batch of another size
            assert answer["probabilities"] == pytest.approx(alone["probabilities"], abs=1e-5)
        assert client.feedback(got[0]["id"], "7") == "joined"
        assert client.feedback(got[0]["id"], "8") == "updated"
        assert client.feedback("0" * 32, "7") == "unknown"
        with pytest.raises(ClientError, match="knows the labels 0, 1, 2"):
            client.feedback(got[0]["id"], "seven")
        monitor = server.app.models[0].monitor
        assert monitor is not None and monitor.flush()
        snapshot = _get(server.url + "/models/digits/monitor.json")
        assert monitor.totals()["predictions"] == 120 and "digits" in snapshot
        assert monitor.totals()["windows"] == 2
        page = _get(server.url + "/")
        assert "digits" in page and not re.search(r"<script(?![^>]*src=)[^>]*>|<style| style=| on\w+=", page)
        for path in set(re.findall(r'(?:src|href)="(/[^"]*)"', page)):
            assert _get(server.url + path), path
        metrics = _get(server.url + "/metrics")
        assert 'lamplighter_drift_p_value{model="digits",version="3"}' in metrics
        assert 'lamplighter_monitor_dropped_records_total{model="digits",version="3"} 0.0' in metrics


def test_tables_and_every_kind_of_wrong_row(table: Path, tmp_path: Path) -> None:
    good = {"rooms": 3.5, "city": "Oslo"}
    alone = load_bundle(table).predict([good])[0]["value"]
    with (
        start([table], store_url=f"sqlite:///{tmp_path / 'monitor.sqlite'}") as server,
        Client(server.url) as client,
    ):
        answer = client.predict([good, {"rooms": "4.5", "city": "Lima"}])
        assert answer[0]["value"] == pytest.approx(alone, rel=1e-5)
        assert client.feedback(answer[0]["id"], 350.0) == "joined"
        wrong: list[tuple[Any, str | None]] = [
            ({"rooms": "many", "city": "Oslo"}, "rooms"),
            ({"rooms": [1], "city": "Oslo"}, "rooms"),
            ({"rooms": {"a": 1}, "city": "Oslo"}, "rooms"),
            ({"rooms": True, "city": "Oslo"}, "rooms"),
            ({"rooms": None, "city": "Oslo"}, "rooms"),
            ({"rooms": 1e308, "city": "Oslo"}, "rooms"),
            ({"rooms": 10**30, "city": ["Oslo"]}, "city"),
            ({"city": "Oslo"}, "rooms"),
            ({**good, "towm": 1}, "towm"),
            ([3.5, "Oslo"], None),
            ("Oslo", None),
            (None, None),
            (7, None),
            ([], None),
        ]
        for row, field in wrong:
            with pytest.raises(ClientError) as error:
                client._json("POST", "/v1/models/homes/predict", {"rows": [good, row]})
            assert (error.value.status, error.value.row, error.value.field) == (422, 1, field), row
        assert client.predict([good])[0]["value"] == pytest.approx(alone, rel=1e-5)


def test_two_bundles_with_a_monitor_each(digits: Path, table: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'monitor.sqlite'}"
    with start([digits, table], store_url=url) as server, Client(server.url, "homes") as client:
        [answer] = client.predict([{"rooms": 3, "city": "Rome"}])
        assert client.feedback(answer["id"], 300) == "joined"
        page = _get(server.url + "/")
        assert 'href="/models/digits"' in page and 'href="/models/homes"' in page
        assert "homes" in _get(server.url + "/models/homes")


def test_the_store_lies_beside_the_bundle_by_default(digits: Path) -> None:
    with start(digits) as server:
        assert (digits.parent / "bundle.monitor.sqlite").is_file()
        assert server.app.models[0].batcher.max_batch == 16
    with start(digits, overrides=["serve.max_batch=5"], monitoring=False) as server:
        assert server.app.models[0].batcher.max_batch == 5


def test_an_answer_does_not_wait_for_the_monitor_and_feedback_at_once_is_joined(table: Path, tmp_path: Path) -> None:
    bundle = load_bundle(table)
    real, slow = bundle.features, threading.Event()

    def features(*arguments: Any) -> np.ndarray:
        slow.wait(0.4)
        return real(*arguments)

    bundle.features = features  # type: ignore[method-assign]
    with (
        start(bundle, store_url=f"sqlite:///{tmp_path / 'monitor.sqlite'}") as server,
        Client(server.url) as client,
    ):
        begun = time.monotonic()
        answers = [client.predict([{"rooms": 3, "city": "Rome"}] * 3) for _ in range(4)]
        assert time.monotonic() - begun < 0.4, "a request waited for another's features"
        monitor = server.app.models[0].monitor
        assert monitor is not None and monitor.totals()["waiting"] == 12
        assert client.feedback(answers[-1][2]["id"], 300) == "joined"
        slow.set()
        assert monitor.flush() and monitor.totals()["predictions"] == 12
        metrics = _get(server.url + "/metrics")
        assert re.search(r'lamplighter_realised_score{metric="mae",model="homes",version="1"} \d', metrics)
        coverage = re.search(r'lamplighter_label_coverage{model="homes",version="1"} (\S+)', metrics)
        assert coverage is not None and 0 < float(coverage[1]) <= 1


def test_the_labels_of_the_demo_sent_at_once_are_all_joined(digits: Path, tmp_path: Path) -> None:
    from lamplighter.cli import demo
    from lamplighter.data.sources.digits import Digits

    class Noting(Client):
        def feedback(self, id: str, truth: Any) -> str:
            states.append(super().feedback(id, truth))
            return states[-1]

    states: list[str] = []
    bundle = load_bundle(digits)
    real = bundle.features
    bundle.features = lambda *a: (time.sleep(0.05), real(*a))[1]  # type: ignore[method-assign]
    scans = list(Digits().raw("test", np.arange(20)))
    with (
        start(bundle, store_url=f"sqlite:///{tmp_path / 'monitor.sqlite'}") as server,
        Noting(server.url) as client,
    ):
        assert demo._send(client, scans, ["3"] * 20, "scans", rate=50) == 20
        assert states == ["joined"] * 10
        demo._alerts(server)
        assert demo._snapshot(server)["totals"]["predictions"] == 20, "the demo counts alerts before all is looked at"


def test_damaged_and_missing_bundles(digits: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        start(tmp_path / "nothing")
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(digits, copy)
    (copy / "model.onnx").write_bytes(b"x" + (copy / "model.onnx").read_bytes()[1:])
    with pytest.raises(BundleError, match=r"model\.onnx"):
        start(copy)


def test_a_bundle_is_served_where_torch_cannot_be_imported(digits: Path, tmp_path: Path) -> None:
    code = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision"):
            raise ModuleNotFoundError(f"{name} is blocked", name=name)
sys.meta_path.insert(0, Block())
from lamplighter.serving.server import start
from lamplighter.client.http import Client
with start(sys.argv[1], store_url=sys.argv[2]) as server, Client(server.url) as client:
    answer = client.predict([[[0] * 8] * 8])[0]
    assert client.feedback(answer["id"], answer["label"]) == "joined"
print("served")
"""
    store = f"sqlite:///{tmp_path / 'monitor.sqlite'}"
    done = subprocess.run([sys.executable, "-c", code, str(digits), store], capture_output=True, text=True, timeout=60)
    assert done.stdout == "served\n", done.stderr


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())
