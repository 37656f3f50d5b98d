"""Two small bundles with known answers, and a monitor that remembers, to put real servers in front of."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lamplighter.bundle.manifest import Feature, Manifest, Output, Parity
from lamplighter.bundle.runtime import kinds
from lamplighter.core.errors import InputError
from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.data.preprocessing.pipeline import Pipeline
from lamplighter.metrics.score import Score
from lamplighter.serving.server import Server, start

TABLE = Signature(
    inputs=(
        Column(name="rooms", kind="numeric"),
        Column(name="city", kind="category", categories=("Rome", "Oslo"), required=False),
    ),
    tensors=(TensorSpec(name="x", dtype="float32", shape=(2,)),),
    targets=(Column(name="price", kind="numeric"),),
)
IMAGE = Signature(
    inputs=(Column(name="image", kind="image", shape=(4, 4, 1)),),
    tensors=(TensorSpec(name="x", dtype="uint8", shape=(1, 4, 4)),),
    targets=(Column(name="label", kind="category", categories=("dark", "light")),),
)


def manifest(name: str, signature: Signature, output: Output, recipe: dict[str, Any] | None = None) -> Manifest:
    return Manifest(
        format_version=1,
        name=name,
        version="7",
        created="2026-01-01T00:00:00+00:00",
        signature=signature,
        preprocessing=(),
        outputs=("value",),
        output=output,
        features=(Feature(name="rooms", kind="numeric", origin="column"),),
        metrics={"mae": Score(value=0.5, n=40, low=0.4, high=0.6)},
        parity=Parity(max_abs=1e-7, atol=1e-4, batch_sizes=(1, 2, 7), rows=32, labels_equal=True),
        packages={},
        recipe=recipe or {},
        files={},
    )


class SmallBundle:
    """What serving needs of a bundle. ``delay`` makes computing slow, ``bad`` is a value the network breaks on."""

    def __init__(self, made: Manifest) -> None:
        self.manifest = made
        self.kind = kinds.of(made.output)
        self.path = Path("small")
        self.reference = SimpleNamespace(edges=[np.array([1.0, 3.0, 5.0])])
        self.delay = 0.0
        self.bad: float | None = None
        self.batches: list[int] = []
        self.computed: list[float] = []
        self.threads: set[str] = set()
        self.go = threading.Event()
        self.go.set()

    def run(self, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.go.wait(20)
        time.sleep(self.delay)
        x = tensors["x"]
        if self.bad is not None and (x == self.bad).any():
            raise RuntimeError("the network broke")
        self.batches.append(len(x))
        self.threads.add(threading.current_thread().name)
        self.computed += x.reshape(len(x), -1)[:, 0].tolist()
        return {"value": self.compute(x)}

    def compute(self, x: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def features(self, rows: list[Any], tensors: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> np.ndarray:
        assert len(rows) == len(tensors["x"]) == len(outputs["value"])
        return tensors["x"].reshape(len(rows), -1)[:, :1].astype(np.float32)

    def scores_of(self, outputs: dict[str, np.ndarray], tensors: Any = None) -> np.ndarray:
        return outputs["value"]


class TableBundle(SmallBundle):
    """price = 2 rooms + 1."""

    def preprocess(self, rows: list[Any]) -> dict[str, np.ndarray]:
        x = np.zeros((len(rows), 2), np.float32)
        for index, row in enumerate(rows):
            if not isinstance(row, dict) or not isinstance(row.get("rooms"), int | float):
                raise InputError("must be a number", row=index, field="rooms")
            if row["rooms"] == -404:
                raise KeyError("a bug in preprocessing, with a secret")
            x[index, 0] = row["rooms"]
        return {"x": x}

    def compute(self, x: np.ndarray) -> np.ndarray:
        return 2 * x[:, :1] + 1

    def postprocess(self, outputs: dict[str, np.ndarray], tensors: Any = None) -> list[dict[str, Any]]:
        return [{"value": value} for value in outputs["value"][:, 0].tolist()]


class ImageBundle(SmallBundle):
    """light = brightness / 255. Preprocessing is the real one."""

    def __init__(self, made: Manifest) -> None:
        super().__init__(made)
        steps = [{"name": "decode-image", "channels": 1}, {"name": "resize", "height": 4, "width": 4}]
        self.pipeline = Pipeline([*steps, {"name": "stack-images"}])

    def preprocess(self, rows: list[Any]) -> dict[str, np.ndarray]:
        return self.pipeline(rows)

    def compute(self, x: np.ndarray) -> np.ndarray:
        light = x.reshape(len(x), -1).mean(axis=1) / 255
        return np.stack([1 - light, light], axis=1).astype(np.float32)

    def postprocess(self, outputs: dict[str, np.ndarray], tensors: Any = None) -> list[dict[str, Any]]:
        labels = self.manifest.output.labels
        return [
            {
                "label": labels[int(row.argmax())],
                "confidence": float(row.max()),
                "probabilities": dict(zip(labels, row)),
            }
            for row in outputs["value"]
        ]


class RememberingMonitor:
    """What serving needs of a monitor."""

    def __init__(self) -> None:
        self.records: list[tuple[list[str], np.ndarray, np.ndarray, float]] = []
        self.truths: dict[str, Any] = {}
        self.closed = 0

    def record(self, ids: list[str], features: np.ndarray, scores: np.ndarray, latency_seconds: float) -> None:
        assert self.closed == 0
        self.records.append((ids, np.array(features), np.array(scores), latency_seconds))

    def record_later(self, requests: Any, describe: Any, size: int = 0) -> None:
        features, scores, _ = describe()
        assert size > 0 and len(features) == len(scores) == sum(len(ids) for ids, _ in requests)
        start = 0
        for ids, latency in requests:
            self.record(ids, features[start : start + len(ids)], scores[start : start + len(ids)], latency)
            start += len(ids)

    def feedback_many(self, pairs: list[tuple[str, Any]]) -> list[str]:
        known = {id_ for ids, *_ in self.records for id_ in ids}
        states = ["unknown" if id_ not in known else "updated" if id_ in self.truths else "joined" for id_, _ in pairs]
        self.truths.update((id_, truth) for id_, truth in pairs if id_ in known)
        return states

    def page(self) -> str:
        return "<!doctype html><title>dashboard</title>"

    def snapshot(self) -> dict[str, Any]:
        return {"predictions": sum(len(ids) for ids, *_ in self.records)}

    def totals(self) -> dict[str, int]:
        return {"dropped": 3, "failed": 1, "waiting": 2}

    def gauges(self) -> dict[str, Any]:
        performance = {"metric": "mae", "n": 5, "value": 1.5, "coverage": 0.5}
        return {"firing": True, "p_value": 0.25, "features": {"rooms": 0.75}, "performance": performance}

    @property
    def store(self) -> RememberingMonitor:
        return self

    def close(self) -> None:
        self.closed += 1


def table_bundle(name: str = "prices", **serve: Any) -> TableBundle:
    output = Output(kind="regression", targets=("price",))
    return TableBundle(manifest(name, TABLE, output, {"serve": serve}))


def image_bundle(name: str = "light", **serve: Any) -> ImageBundle:
    output = Output(kind="classification", labels=("dark", "light"))
    return ImageBundle(manifest(name, IMAGE, output, {"serve": serve}))


@pytest.fixture
def make_table() -> Callable[..., TableBundle]:
    return table_bundle


@pytest.fixture
def make_image() -> Callable[..., ImageBundle]:
    return image_bundle


Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers without monitoring; ``monitors={name: monitor}`` puts remembering ones in."""
    servers: list[Server] = []

    def starter(*bundles: Any, monitors: dict[str, Any] | None = None, **options: Any) -> Server:
        server = start(list(bundles), monitoring=False, **options)
        for model in server.app.models:
            model.monitor = (monitors or {}).get(model.name)
        servers.append(server)
        return server

    yield starter
    for server in servers:
        server.stop()


@pytest.fixture
def make_monitor() -> Callable[[], RememberingMonitor]:
    return RememberingMonitor
