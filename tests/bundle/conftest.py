"""Small sources, networks and finished bundles that the tests of this floor share."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lamplighter.bundle.export import export_bundle
from lamplighter.bundle.runtime import Bundle, load_bundle
from lamplighter.core import registry
from lamplighter.core.export_spec import ExportSpec
from lamplighter.core.seeding import generator
from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.data.preprocessing.pipeline import Pipeline
from lamplighter.data.rows import TensorRows
from lamplighter.data.splits import Splits, stratified
from lamplighter.metrics.score import Score

SCORES = {"accuracy": Score(value=0.9, n=100, low=0.82, high=0.94)}


class Arrays:
    """Plain arrays as a source; rows are numbers of any fixed or varying shape."""

    def __init__(
        self, x: np.ndarray, shape: tuple[int | None, ...] | None = None, labels: tuple[str, ...] = ("a", "b", "c")
    ) -> None:
        self.x = x
        y = np.arange(len(x)) % len(labels) if labels else np.zeros(len(x))
        self.signature = Signature(
            inputs=(Column(name="x", kind="array", shape=x.shape[1:]),),
            tensors=(TensorSpec(name="x", dtype=str(x.dtype), shape=shape or x.shape[1:]),),
            targets=(Column(name="y", kind="category", categories=labels),)
            if labels
            else (Column(name="u", kind="numeric"), Column(name="v", kind="numeric")),
        )
        self.preprocessing = Pipeline([])
        self.splits: Splits = stratified(y if labels else None, (0.5, 0.3, 0.2), 0, len(x))
        self._tensors = {"x": torch.from_numpy(x), "y": torch.from_numpy(y)}

    def split(self, name: str) -> Any:
        return TensorRows(self._tensors, getattr(self.splits, name))

    def raw(self, name: str, indices: np.ndarray) -> list[Any]:
        return list(self.x[getattr(self.splits, name)[indices]])

    def resolved(self) -> dict[str, Any]:
        return {}


@dataclass
class Trained:
    """Stands where a trained task stands: all the bundle asks of one is `export`."""

    module: nn.Module
    kind: Any = "classification"
    outputs: tuple[str, ...] = ("logits",)

    def export(self) -> ExportSpec:
        return ExportSpec(self.module, self.kind, self.outputs)


class Linear(nn.Module):
    """(N, 4) -> logits (N, 3) and their input."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 5)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        embedding = torch.tanh(self.body(x))
        return self.head(embedding), embedding


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter and buffer random: nothing hides behind zeros and ones."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if tensor.is_floating_point():
                fan = tensor[0].numel() if tensor.dim() > 1 else 1
                value = torch.randn(tensor.shape, generator=rng) / fan**0.5
                tensor.copy_(value.abs().clamp(0.5, 1.5) if name.endswith("running_var") else value)
    return module.eval()


@pytest.fixture(scope="session")
def points() -> Arrays:
    return Arrays(generator(0, "points").normal(size=(90, 4)).astype(np.float32))


@pytest.fixture(scope="session")
def arrays() -> type[Arrays]:
    return Arrays


@pytest.fixture(scope="session")
def trained() -> type[Trained]:
    return Trained


@pytest.fixture(scope="session")
def random_weights() -> Callable[..., nn.Module]:
    return randomised


Export = Callable[..., Path]


@pytest.fixture
def export(tmp_path: Path, points: Arrays) -> Export:
    """Exports a module as a bundle into ``tmp_path/bundle``."""

    def run(module: nn.Module, source: Any = None, out: Path | None = None, **options: Any) -> Path:
        task: Any = Trained(module, options.pop("kind", "classification"), options.pop("outputs", ("logits",)))
        recipe = {"name": "tiny", "seed": 3, **options.pop("recipe", {})}
        settings = {"scores": SCORES, "version": "7", **options}
        return export_bundle(out or tmp_path / "bundle", task=task, source=source or points, recipe=recipe, **settings)

    return run


def _task(name: str, model: str, source: Any, **params: Any) -> Any:
    facts = {**source.signature.facts(), "seed": 0}
    network = randomised(registry.build("model", model, params, facts))
    task = registry.build("task", name, {}, {**facts, "model": network})
    return task.eval()


@pytest.fixture(scope="session")
def linear_bundle(tmp_path_factory: pytest.TempPathFactory, points: Arrays) -> Bundle:
    """Plain arrays of four numbers, three classes."""
    out = tmp_path_factory.mktemp("linear") / "bundle"
    task: Any = Trained(randomised(Linear()), outputs=("logits", "embedding"))
    recipe = {"name": "linear", "seed": 0}
    export_bundle(out, task=task, source=points, recipe=recipe, scores=SCORES, version="1", temperature=1.5)
    return load_bundle(out)


@pytest.fixture(scope="session")
def digits() -> Any:
    return registry.build("source", "digits", {}, {"seed": 0})


@pytest.fixture(scope="session")
def digits_bundle(tmp_path_factory: pytest.TempPathFactory, digits: Any) -> Bundle:
    """Images of 8 x 8 pixels, ten classes."""
    out = tmp_path_factory.mktemp("digits") / "bundle"
    recipe = {"name": "digits", "seed": 0, "data": {"name": "digits"}}
    task = _task("classification", "cnn", digits, width=4)
    export_bundle(out, task=task, source=digits, recipe=recipe, scores=SCORES, version="1")
    return load_bundle(out)


@pytest.fixture(scope="session")
def trees_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 rows with blanks, a category, a boolean, a date; German numbers; the price is the target."""
    path = tmp_path_factory.mktemp("trees") / "trees.csv"
    rng = generator(0, "trees")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["size", "colour", "old", "planted", "price"])
        for i in range(120):
            size = "" if i % 11 == 0 else f"{rng.normal(50, 20):.3f}".replace(".", ",")
            planted = f"2024-{rng.integers(1, 13):02}-{rng.integers(1, 29):02}"
            colour = rng.choice(["red", "green", "blue"])
            writer.writerow([size, colour, ["yes", "no"][i % 2], planted, f"{rng.normal(9, 2):.4f}".replace(".", ",")])
    return path


@pytest.fixture(scope="session")
def trees(trees_csv: Path) -> Any:
    return registry.build("source", "table", {"path": str(trees_csv), "target": "price"}, {"seed": 0})


@pytest.fixture(scope="session")
def trees_bundle(tmp_path_factory: pytest.TempPathFactory, trees: Any) -> Bundle:
    """A table with one numeric target."""
    out = tmp_path_factory.mktemp("trees-bundle") / "bundle"
    recipe = {"name": "trees", "seed": 0, "data": {"name": "table"}}
    scores = {"mae": Score(value=1.5, n=18, low=1.1, high=2.0)}
    task = _task("regression", "mlp", trees, hidden=(8,))
    export_bundle(out, task=task, source=trees, recipe=recipe, scores=scores, version="2")
    return load_bundle(out)
