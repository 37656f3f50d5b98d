"""After an experiment nothing is different: not a bit of the task, the optimizers, the generators or the files."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lamplighter.train import rng
from lamplighter.train.precision import Precision
from lamplighter.train.trainer import Trainer
from lamplighter.train.undisturbed import task_undisturbed, trainer_undisturbed

Make = Callable[..., Any]


class Net(nn.Module):
    """Everything that carries state: BatchNorm, a buffer outside the checkpoint, dropout, a frozen layer, a counter."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten())
        self.head = nn.Linear(4 * 4, 3)
        self.frozen = nn.Linear(16, 16).requires_grad_(False)
        self.register_buffer("calls", torch.zeros(()), persistent=False)
        self.register_buffer("seen", torch.zeros(()), persistent=False)
        self.count = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls = self.calls + 1  # another tensor in its place
        self.seen += len(x)
        self.count += 1
        return self.head(self.frozen(self.body(x)))


@pytest.fixture
def trainer(make_trainer: Make, make_task: Make, rows: Make) -> Trainer:
    """In the middle of an epoch, with momentum, averages, accumulation, EMA and channels_last."""
    with rng.untouched():
        torch.manual_seed(0)
        net = Net()
    made = make_trainer(
        task=make_task((1, 4, 4), net),
        train=rows(100, (1, 4, 4)),
        val=rows(40, (1, 4, 4), 1),
        settings={"accumulate": 2, "callbacks": [{"name": "ema"}], "clip": {"name": "norm"}},
        batch_size=16,
        precision=Precision("bf16", True),
    )
    assert isinstance(made, Trainer)
    for callback in made.callbacks:
        callback.on_train_start(made.state)
    made.task.train()
    made.task.model.body[1].eval()  # one layer in another mode than the others
    batches = iter(made.loader)
    for _ in range(2):
        made._step([next(batches), next(batches)])
        made.batch += 2
    return made


def steps(trainer: Trainer, count: int) -> list[Any]:
    """Go on training; return the weights after each step."""
    batches, seen = iter(trainer.loader), []
    for _ in range(count):
        trainer._step([next(batches)])
        seen.append([tensor.clone().flatten().tolist() for tensor in trainer.task.state_dict().values()])
    return seen


def test_a_trainer_stands_where_it_stood(trainer: Trainer, everything: Make) -> None:
    before = everything(trainer)
    with trainer_undisturbed(trainer):
        trainer.task.train()
        trainer.schedule = lambda _: 100.0
        steps(trainer, 3)
        trainer.state.epoch += 1
        during = everything(trainer)
        random.random(), np.random.rand(), torch.rand(1)
    changed = {key.split("/")[0] for key in before if before[key] != during.get(key)}
    assert {"parameters", "buffers", "mode", "optimizers", "state", "loader", "averages", "rng"} <= changed
    after = everything(trainer)
    assert {key for key in before if before[key] != after[key]} == set()
    assert trainer.task.model.count == 4


def test_training_goes_on_as_if_nothing_had_been(make_trainer: Make, trainer: Trainer, tmp_path: Path) -> None:
    import copy

    state = copy.deepcopy({"loader": trainer.loader.state_dict(), "rng": rng.get_state()})
    twin = copy.deepcopy(trainer)
    expected = steps(twin, 2)
    trainer.loader.load_state_dict(state["loader"])
    rng.set_state(state["rng"])
    with trainer_undisturbed(trainer):
        trainer.task.train()
        trainer.schedule = lambda _: 50.0
        steps(trainer, 3)
    assert steps(trainer, 2) == expected


def test_an_exception_inside_changes_nothing_either(trainer: Trainer, everything: Make) -> None:
    before = everything(trainer)
    with pytest.raises(KeyError), trainer_undisturbed(trainer):
        steps(trainer, 1)
        raise KeyError
    assert everything(trainer) == before


def test_before_the_first_step_the_optimizer_remembers_nothing(make_trainer: Make) -> None:
    trainer = make_trainer()
    with trainer_undisturbed(trainer):
        steps(trainer, 2)
        assert trainer.optimizers["main"].state
    assert not trainer.optimizers["main"].state


def test_gradients_and_requires_grad_of_a_task_are_put_back(make_task: Make, rows: Make, everything: Make) -> None:
    task = make_task()
    task.model.head.weight.grad = torch.full_like(task.model.head.weight, 7.0)
    before = everything(task)
    with task_undisturbed(task, parameters=False):
        assert task.model.head.weight.grad is None
        next(iter(task.step(rows(8).fetch(np.arange(8))))).value.backward()
        task.model.head.bias.requires_grad_(False)
        task.eval()
    assert everything(task) == before


def test_the_loss_scale_of_fp16_is_put_back(make_trainer: Make, everything: Make) -> None:
    trainer = make_trainer(precision=Precision("fp16", False))
    steps(trainer, 1)
    trainer.scaler.update(128.0)
    before = everything(trainer)
    assert before["scaler/scale"] == 128.0
    with trainer_undisturbed(trainer):
        steps(trainer, 2)
        trainer.scaler.update(2.0)
        assert trainer.scaler.state_dict()["scale"] == 2.0
    assert everything(trainer) == before
    steps(trainer, 1)
