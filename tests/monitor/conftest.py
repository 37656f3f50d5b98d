"""A small real world: scanned digits, a nearest-centroid model, its manifest and reference, and a store."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from lamplighter.bundle.manifest import Feature, Manifest, Output, Parity
from lamplighter.bundle.runtime.reference import Reference
from lamplighter.core.recipe import Monitor as Settings
from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.metrics.score import Score
from lamplighter.monitor.service import Monitor
from lamplighter.monitor.store import Store, open_store

LABELS = tuple("0123456789")


@dataclass
class World:
    """Digits split by ``seed`` into training, validation and live rows."""

    manifest: Manifest
    reference: Reference
    live: np.ndarray
    truth: np.ndarray
    model: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

    def noisy(self, amount: float = 6.0, seed: int = 0) -> np.ndarray:
        return np.clip(self.live + np.random.default_rng(seed).normal(size=self.live.shape) * amount, 0, 16)


def make_manifest(features: tuple[Feature, ...], output: Output, name: str = "digits", version: str = "1") -> Manifest:
    targets = output.labels and (Column(name="label", kind="category", categories=output.labels),)
    return Manifest(
        format_version=1,
        name=name,
        version=version,
        created="2025-01-02T03:04:05Z",
        signature=Signature(
            inputs=(Column(name="image", kind="image", shape=(8, 8, 1)),),
            tensors=(TensorSpec(name="x", dtype="uint8", shape=(1, 8, 8)),),
            targets=targets or tuple(Column(name=t, kind="numeric") for t in output.targets),
        ),
        preprocessing=(),
        outputs=("logits",),
        output=output,
        features=features,
        metrics={"accuracy": Score(value=0.9, n=360, low=0.86, high=0.93)},
        parity=Parity(max_abs=0, atol=1e-4, batch_sizes=(1,), rows=1, labels_equal=True),
        packages={},
        recipe={},
        files={},
    )


def make_world(seed: int = 0, keep_rows: bool = True) -> World:
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(x))
    train, val, live = np.split(order, [800, 1200])
    centres = np.stack([x[train][y[train] == k].mean(axis=0) for k in range(10)])
    axes = np.linalg.svd(x[train] - x[train].mean(axis=0), full_matrices=False)[2][:8]

    def model(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        distance = ((rows[:, None] - centres) ** 2).sum(axis=2)
        weight = np.exp(-(distance - distance.min(axis=1, keepdims=True)) / 100)
        features = np.column_stack([rows.mean(axis=1), rows.std(axis=1), rows @ axes.T])
        return features.astype(np.float32), (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)

    names = ["brightness", "contrast", *(f"embedding[{i}]" for i in range(8))]
    features = tuple(Feature(name=n, kind="numeric", origin="image") for n in names)
    output = Output(kind="classification", labels=LABELS)
    reference = Reference.build(*model(x[val]), features, output, seed=seed, keep_rows=keep_rows)
    return World(make_manifest(features, output), reference, x[live], y[live], model)


@pytest.fixture(scope="session")
def world() -> World:
    return make_world()


@pytest.fixture(name="make_world", scope="session")
def _make_world() -> Callable[..., World]:
    return make_world


@pytest.fixture(name="make_manifest", scope="session")
def _make_manifest() -> Callable[..., Manifest]:
    return make_manifest


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'monitor.db'}")
    yield opened
    opened.close()


class Clock:
    """Time that passes when told."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start(world: World, store: Store, clock: Clock) -> Iterator[Callable[..., Monitor]]:
    """Start monitors of the world; they are closed after the test."""
    running: list[Monitor] = []

    def _start(settings: dict[str, Any] | None = None, manifest: Manifest | None = None, **options: Any) -> Monitor:
        reference = options.pop("reference", world.reference)
        target = options.pop("store", store)
        made = Settings.model_validate({"window": 100, "persistence": 1, **(settings or {})})
        monitor = Monitor(manifest or world.manifest, reference, made, target, **{"clock": clock, **options})
        running.append(monitor)
        return monitor

    yield _start
    for monitor in running:
        monitor.close()


@pytest.fixture
def feed(world: World) -> Callable[..., list[str]]:
    """Send rows through the model into a monitor, a few at a time; returns the ids."""

    def _feed(monitor: Monitor, rows: np.ndarray, prefix: str = "p", model: Any = world.model) -> list[str]:
        ids = [f"{prefix}{i}" for i in range(len(rows))]
        for first in range(0, len(rows), 7):
            monitor.record(ids[first : first + 7], *model(rows[first : first + 7]), 0.004)
        return ids

    return _feed


@pytest.fixture
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a real PostgreSQL server of the test's own, from Debian's package, ended afterwards."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found and not os.environ.get("CI"):
        pytest.skip("needs Debian's package postgresql")
    pytest.importorskip("psycopg")
    assert found, "CI installs Debian's package postgresql"
    folder = Path(tempfile.mkdtemp(prefix="lamplighter-pg-"))
    # The server refuses to run as root; Debian's package brings a user for it.
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if user:
        shutil.chown(folder, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = str(folder / "data")
    run = {"cwd": folder, "check": True, "stdout": subprocess.DEVNULL, "timeout": 60}
    subprocess.run([*user, str(found[-1]), "-D", data, "-U", "lamp", "-A", "trust", "--no-sync"], **run)
    control = [*user, str(found[-1].with_name("pg_ctl")), "-D", data, "-w"]
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"
    subprocess.run([*control, "-l", str(folder / "log"), "-o", options, "start"], **run)
    try:
        yield f"postgresql://lamp@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **run)
        shutil.rmtree(folder, ignore_errors=True)
