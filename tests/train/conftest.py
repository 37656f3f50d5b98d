"""A small training problem, and a trainer for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lamplighter.core import registry
from lamplighter.core.recipe import Recipe, Train
from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.data.rows import TensorRows
from lamplighter.tasks.base import Task
from lamplighter.tasks.classification import Classification
from lamplighter.train import rng
from lamplighter.train.precision import Precision
from lamplighter.train.trainer import Trainer

CLASSES = 3


def learnable(rows: int, shape: tuple[int, ...], seed: int) -> TensorRows:
    """Random inputs; the class is the largest of the first three numbers."""
    x = torch.randn(rows, *shape, generator=torch.Generator().manual_seed(seed))
    return TensorRows({"x": x, "y": x.flatten(1)[:, :CLASSES].argmax(1)})


def signature_of(shape: tuple[int, ...]) -> Signature:
    return Signature(
        inputs=(Column(name="x", kind="array", shape=shape),),
        tensors=(TensorSpec(name="x", dtype="float32", shape=shape),),
        targets=(Column(name="y", kind="category", categories=("a", "b", "c")),),
    )


@pytest.fixture
def rows() -> Callable[..., TensorRows]:
    """``rows(n, shape=(6,), seed=0)``: learnable rows."""
    return lambda n, shape=(6,), seed=0: learnable(n, shape, seed)


@pytest.fixture
def make_task() -> Callable[..., Task]:
    """``make_task(shape=(6,), model=None)``: classification with an MLP, or with the given model."""

    def make(shape: tuple[int, ...] = (6,), model: nn.Module | None = None, **options: Any) -> Task:
        facts = signature_of(shape).facts()
        with rng.untouched():
            torch.manual_seed(0)
            model = model or registry.build("model", "mlp", {"hidden": [16]}, facts)
        return Classification(model, facts["signature"], **options)

    return make


@pytest.fixture
def make_trainer(tmp_path: Path, make_task: Callable[..., Task]) -> Callable[..., Trainer]:
    """``make_trainer(task=None, train=None, val=None, settings={...}, **of_trainer)``."""

    def make(
        task: Task | None = None,
        train: Any = None,
        val: Any = None,
        settings: dict[str, Any] | None = None,
        folder: Path | None = None,
        **options: Any,
    ) -> Trainer:
        rng.seed_all(0, "train")
        given = {
            "batch_size": 32,
            "seed": 0,
            "precision": Precision("fp32", False),
            "device": torch.device("cpu"),
            **options,
        }
        return Trainer(
            task if task is not None else make_task(),
            train if train is not None else learnable(200, (6,), 0),
            val if val is not None else learnable(64, (6,), 1),
            settings=train_settings(settings or {}),
            folder=folder or tmp_path,
            **given,
        )

    return make


def train_settings(values: dict[str, Any]) -> Train:
    """A validated ``train`` section."""
    whole = {"name": "x", "data": {"name": "digits"}, "model": {"name": "mlp"}, "task": {"name": "classification"}}
    base = Recipe.parse(str(whole))
    return base.with_(train={"epochs": 2, **values}).train


@pytest.fixture
def weights() -> Callable[[Trainer], dict[str, Tensor]]:
    """Copies of all parameters and buffers."""
    return lambda trainer: {name: tensor.detach().clone() for name, tensor in trainer.task.state_dict().items()}


@pytest.fixture
def everything() -> Callable[[Trainer | Task], dict[str, Any]]:
    """``everything(trainer_or_task)``: every bit of it, by name, to be compared before and after."""
    return lambda whole: _of_trainer(whole) if isinstance(whole, Trainer) else _of_task(whole)


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Nested state as path -> tensor bytes, with strides, or plain value."""
    if isinstance(value, Tensor):
        return {path: (value.detach().clone().contiguous().flatten().view(torch.uint8).tolist(), value.stride())}
    if isinstance(value, dict):
        return {k: v for key, item in value.items() for k, v in _flat(item, f"{path}/{key}").items()}
    if isinstance(value, (list, tuple)):
        return {k: v for key, item in enumerate(value) for k, v in _flat(item, f"{path}/{key}").items()}
    return {path: value}


def _of_task(task: nn.Module) -> dict[str, Any]:
    """Everything of a task that an experiment could change."""
    return {
        **_flat(dict(task.named_parameters()), "parameters"),
        **_flat(dict(task.named_buffers()), "buffers"),
        **_flat({name: p.grad for name, p in task.named_parameters()}, "gradients"),
        **{f"trained/{name}": p.requires_grad for name, p in task.named_parameters()},
        **{f"mode/{name}": module.training for name, module in task.named_modules()},
        **{f"memory/{name}": tensor.data_ptr() for name, tensor in task.state_dict().items()},
        **{f"hooks/{name}": len(module._forward_hooks) for name, module in task.named_modules()},
    }


def _of_trainer(trainer: Trainer) -> dict[str, Any]:
    """Everything of a trainer that training steps change."""
    state = {key: value for key, value in vars(trainer.state).items() if not callable(value)}
    return {
        **_of_task(trainer.task),
        **_flat({name: o.state_dict() for name, o in trainer.optimizers.items()}, "optimizers"),
        **_flat(trainer.scaler.state_dict(), "scaler"),
        **_flat(state, "state"),
        **_flat(trainer.loader.state_dict(), "loader"),
        **_flat(trainer.averages.state_dict(), "averages"),
        **_flat([callback.state_dict() for callback in trainer.callbacks], "callbacks"),
        **_flat(rng.get_state(), "rng"),
        **{f"file/{path}": path.read_bytes() for path in trainer.folder.rglob("*") if path.is_file()},
        "batch": trainer.batch,
        "schedule": id(trainer.schedule),
        "step callbacks": len(trainer.step_callbacks),
        "attributes": sorted(vars(trainer)),
        "factor": trainer.schedule(3),
    }
