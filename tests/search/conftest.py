"""A small data set that notes which of its rows are looked at, and a recipe on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import numpy as np
import pytest
import torch

from lamplighter.core import registry
from lamplighter.core.recipe import Recipe
from lamplighter.core.registry import FromData
from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.data.preprocessing.pipeline import Pipeline
from lamplighter.data.rows import TensorRows
from lamplighter.data.splits import Splits, stratified

FETCHED: set[int] = set()
"""Positions of all rows that were looked at since it was cleared."""


class WatchedRows(TensorRows):
    """Rows that note which of them are fetched."""

    def fetch(self, indices: np.ndarray) -> dict[str, torch.Tensor]:
        assert self.positions is not None
        FETCHED.update(self.positions[torch.from_numpy(np.asarray(indices))].tolist())
        return super().fetch(indices)


class Moons:
    """Two half-moons, or labels that are coin flips.

    Args:
        rows: how many.
        noise: of the moons.
        coin: whether labels have nothing to do with the rows.
        shares: of train, val and test.
        seed: of the split.
        splits: a persisted split.
    """

    def __init__(
        self,
        rows: int = 240,
        noise: float = 0.2,
        coin: bool = False,
        shares: tuple[float, float, float] = (0.6, 0.2, 0.2),
        seed: Annotated[int, FromData] = 0,
        splits: Annotated[Splits | None, FromData] = None,
    ) -> None:
        from sklearn.datasets import make_moons

        x, y = make_moons(rows, noise=noise, random_state=0)
        y = np.random.default_rng(0).integers(0, 2, rows) if coin else y
        self.tensors = {"x": torch.from_numpy(x.astype(np.float32)), "y": torch.from_numpy(y.astype(np.int64))}
        self.splits = splits if splits is not None else stratified(y.astype(np.int64), shares, seed)
        self.splits.check(rows)
        self.preprocessing = Pipeline([])
        self.signature = Signature(
            inputs=(Column(name="x", kind="array", shape=(2,)),),
            tensors=(TensorSpec(name="x", dtype="float32", shape=(2,)),),
            targets=(Column(name="y", kind="category", categories=("a", "b")),),
        )

    def split(self, name: str) -> TensorRows:
        return WatchedRows(self.tensors, self.splits[name])

    def raw(self, name: str, indices: np.ndarray) -> list[Any]:
        return [self.tensors["x"][row].numpy() for row in self.splits[name][indices]]

    def resolved(self) -> dict[str, Any]:
        return {}


TEXT = """
name: moons
threads: 1
device: cpu
data: {name: watched-moons, batch_size: 32}
model: {name: mlp, hidden: [8], norm: none}
task: {name: classification}
train: {epochs: 2, precision: fp32, optimizer: {name: adamw, lr: 0.05}, schedule: {name: constant}}
"""


@pytest.fixture
def fetched() -> set[int]:
    """Positions of all rows that were looked at; clear it as you like."""
    FETCHED.clear()
    return FETCHED


@pytest.fixture
def moons(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Recipe]]:
    """``moons("search: {...}", **{"train.epochs": 3})``: a recipe on the data set."""
    monkeypatch.setitem(registry._USER, "source", {**registry._USER.get("source", {}), "watched-moons": Moons})

    def make(more: str = "", **changes: Any) -> Recipe:
        return Recipe.parse(TEXT + more, set=[f"{key}={json.dumps(value)}" for key, value in changes.items()])

    yield make
