"""Small tasks to examine: deep stacks that train or do not, and tasks with something wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lamplighter.data.source import Batch
from lamplighter.tasks.base import Loss, Task

CLASSES = 10


class Classify(Task):
    """Plain cross-entropy on a network's output."""

    monitor = ("accuracy", "max")

    def __init__(self, model: nn.Module, sign: float = 1.0) -> None:
        super().__init__()
        self.model = model
        self.sign = sign

    def step(self, batch: Batch) -> Iterator[Loss]:
        yield Loss(self.sign * F.cross_entropy(self.model(batch["x"]), batch["y"]), len(batch["y"]))

    def evaluate(self, batch: Batch) -> dict[str, Tensor]:
        return {"logits": self.model(batch["x"]), "y": batch["y"]}

    def metrics(self, outputs: dict[str, np.ndarray]) -> dict[str, float]:
        logits, y = torch.from_numpy(outputs["logits"]), torch.from_numpy(outputs["y"])
        return {
            "loss": float(F.cross_entropy(logits, y)),
            "accuracy": float((logits.argmax(1) == y).double().mean()),
        }


class Residual(nn.Module):
    """x + relu(W x + b)."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        return x + F.relu(self.linear(x))


def stack(kind: str, seed: int, depth: int = 20, width: int = 64) -> nn.Sequential:
    """``depth`` layers of ``width`` units and a head; ``kind`` names activation and initialisation."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for _ in range(depth):
        linear = nn.Linear(width, width)
        if "kaiming" in kind:
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        if "xavier" in kind:
            nn.init.xavier_normal_(linear.weight, gain=5 / 3 if "tanh" in kind else 1.0)
        if "kaiming" in kind or "xavier" in kind:
            nn.init.zeros_(linear.bias)
        if "times 3" in kind:
            linear.weight.data *= 3
        if "residual" in kind:
            layers.append(Residual(linear))
            continue
        layers.append(linear)
        if "norm" in kind:
            layers.append(nn.BatchNorm1d(width))
        layers.append(nn.Sigmoid() if "sigmoid" in kind else nn.Tanh() if "tanh" in kind else nn.ReLU())
    return nn.Sequential(*layers, nn.Linear(width, CLASSES))


@pytest.fixture
def classify() -> Callable[..., Task]:
    """``classify(model, sign=1.0)``."""
    return Classify


@pytest.fixture
def deep() -> Callable[..., Task]:
    """``deep(kind, seed)``: a task with `stack`."""
    return lambda kind, seed=0, **options: Classify(stack(kind, seed, **options))


@pytest.fixture
def noise() -> Callable[..., Batch]:
    """``noise(rows, width=64, seed=0)``: normal inputs, random classes."""

    def make(rows: int, width: int = 64, seed: int = 0) -> dict[str, Any]:
        draws = torch.Generator().manual_seed(seed)
        return {
            "x": torch.randn(rows, width, generator=draws),
            "y": torch.randint(0, CLASSES, (rows,), generator=draws),
        }

    return make
