"""Small data for tasks that build other tasks: members and teachers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lamplighter.core import registry
from lamplighter.core.recipe import Component
from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.data.rows import TensorRows
from lamplighter.data.splits import Splits
from lamplighter.tasks.base import Task

LABELS = ("a", "b", "c")


def signature_of(classes: bool) -> Signature:
    numbers = (Column(name="u", kind="numeric"), Column(name="v", kind="numeric"))
    return Signature(
        inputs=(Column(name="x", kind="array", shape=(4,)),),
        tensors=(TensorSpec(name="x", dtype="float32", shape=(4,)),),
        targets=(Column(name="y", kind="category", categories=LABELS),) if classes else numbers,
    )


def rows_of(count: int, classes: bool, seed: int = 0) -> dict[str, Tensor]:
    """The class is the largest of the first three numbers; numbers are sums."""
    x = torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))
    y = x[:, :3].argmax(1) if classes else torch.stack([x[:, 0] + x[:, 1], x[:, 2] - x[:, 3]], dim=1)
    return {"x": x, "y": y, "index": torch.arange(count)}


def make(classes: bool, facts: dict[str, Any], number: int, model: Component | None, component: Component) -> Task:
    own = signature_of(classes).facts() | {"seed": 0} | facts
    own["make_task"] = functools.partial(make, classes, facts)
    with torch.random.fork_rng():
        torch.manual_seed(number)
        chosen = model or Component(name="mlp").replace(hidden=[5])
        own["model"] = registry.build("model", chosen.name, chosen.params, own)
        task: Task = registry.build("task", component.name, component.params, own)
    return task


@pytest.fixture
def build() -> Callable[..., Any]:
    """``build("ensemble", classes=True, facts={...}, **params)``; the training split has 30 rows."""

    def run(name: str, classes: bool = True, facts: dict[str, Any] | None = None, **params: Any) -> Any:
        rows = rows_of(30, classes)
        every = torch.arange(50).numpy()
        given = {
            "splits": Splits(every[:30], every[30:40], every[40:]),
            "rows": lambda split: TensorRows({key: rows[key] for key in ("x", "y")}),
            **(facts or {}),
        }
        return make(classes, given, 0, None, Component(name=name).replace(**params))

    return run


@pytest.fixture
def batch() -> Callable[..., dict[str, Tensor]]:
    """``batch(rows=20, classes=True, seed=0)`` with ``x``, ``y`` and ``index``."""
    return lambda rows=20, classes=True, seed=0: rows_of(rows, classes, seed)
