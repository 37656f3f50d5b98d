"""EMA and SWA in real trainings: what is judged and kept, and that training itself notices nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from lamplighter.core import registry
from lamplighter.core.errors import LamplighterError
from lamplighter.models.cnn import CNN
from lamplighter.tasks.base import Task
from lamplighter.train import checkpoint
from lamplighter.train.callbacks.averaged import AveragedWeights, BatchNorm
from lamplighter.train.callbacks.base import Callback, State
from lamplighter.train.callbacks.ema import EMA
from lamplighter.train.callbacks.swa import SWA
from lamplighter.train.evaluation import evaluate
from lamplighter.train.precision import Precision

Make = Callable[..., Any]
SHAPE = (2, 8, 8)


class Scalar(Task):
    """One weight."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros((), dtype=torch.float64))


def follow(callback: AveragedWeights, values: list[float], **options: Any) -> list[float]:
    """The average after each step, for weights that take these values."""
    state = State(Scalar(), "loss", "min", 1, **options)
    callback.on_train_start(state)
    seen = []
    for value in values:
        nn.init.constant_(state.task.w, value)  # type: ignore[arg-type]
        state.step += 1
        callback.on_step_end(state)
        with callback.judging(state):
            seen.append(state.task.w.item())  # type: ignore[union-attr,operator]
        assert state.task.w.item() == value  # type: ignore[union-attr,operator]
    return seen


def test_ema_is_its_recurrence() -> None:
    values = [1.0, 2.0, 4.0, 8.0, 16.0]
    expected = [1.0]
    for value in values[1:]:
        expected.append(0.9 * expected[-1] + 0.1 * value)
    assert follow(EMA(0.9, warmup=False), values) == pytest.approx(expected, rel=1e-14)


def test_the_warmup_raises_the_decay_to_its_value() -> None:
    values = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    expected = [1.0]
    for updates, value in enumerate(values[1:], start=1):
        decay = min(0.3, (1 + updates) / (10 + updates))
        expected.append(decay * expected[-1] + (1 - decay) * value)
    assert follow(EMA(0.3), values) == pytest.approx(expected, rel=1e-14)
    assert expected[2] != pytest.approx(0.3 * expected[1] + 0.7 * 4), "the second decay is 0.25"


def test_every_leaves_steps_out() -> None:
    assert follow(EMA(0.5, warmup=False, every=2), [1.0, 2.0, 4.0, 8.0, 5.0]) == [1.0, 2.0, 2.0, 5.0, 5.0]


def test_swa_is_the_mean_of_the_late_epochs() -> None:
    values = [float(v) for v in range(1, 17)]  # 8 epochs of 2 steps; .5 is the end of the fourth
    seen = follow(SWA(0.5), values, total_steps=16, steps_per_epoch=2)
    assert seen[:7] == values[:7], "before the start the weights themselves are judged"
    assert seen[7:] == [8, 8, 9, 9, 10, 10, 11, 11, 12]


def test_swa_by_steps() -> None:
    values = [float(v) for v in range(1, 11)]
    seen = follow(SWA(0.6, every=2), values, total_steps=10, steps_per_epoch=5)
    assert seen == [1, 2, 3, 4, 5, 6, 6, 7, 7, 8]


def test_a_finished_run_that_goes_on_averages_anew() -> None:
    callback = SWA(0.5)
    follow(callback, [float(v) for v in range(1, 9)], total_steps=8, steps_per_epoch=1)
    longer = SWA(0.5)
    longer.load_state_dict(callback.state_dict())
    longer.on_train_start(State(Scalar(), "loss", "min", 1, step=8, total_steps=24, steps_per_epoch=1))
    assert longer.state_dict()["count"] == 0
    resumed = SWA(0.5)
    resumed.load_state_dict(callback.state_dict())
    resumed.on_train_start(State(Scalar(), "loss", "min", 1, step=8, total_steps=8, steps_per_epoch=1))
    assert resumed.state_dict()["count"] == 5


class Watch(Callback):
    """Notes the weights after each epoch's last step and what was judged."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Tensor]] = []
        self.judged: list[dict[str, Tensor]] = []
        self.autocast: list[torch.dtype] = []

    def on_step_end(self, state: State) -> None:
        self.steps.append({name: tensor.clone() for name, tensor in state.task.state_dict().items()})

    def on_validation_end(self, state: State) -> None:
        self.judged.append({name: tensor.clone() for name, tensor in state.task.state_dict().items()})


@pytest.fixture
def train(make_task: Make, make_trainer: Make, rows: Make, tmp_path: Path) -> Make:
    """``train(callbacks, precision="fp32")``: a small CNN with dropout and batch norm; a finished trainer."""

    def make(callbacks: list[dict[str, Any]], precision: Literal["fp32", "bf16"] = "fp32", **settings: Any) -> Any:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = CNN(2, 3, width=4, dropout=0.3)
        folder = tmp_path / "_".join([precision, *(str(c) for c in settings), *(json.dumps(c) for c in callbacks)])
        folder.mkdir()
        trainer = make_trainer(
            task=make_task(SHAPE, model=model),
            train=rows(100, SHAPE),
            val=rows(40, SHAPE, 1),
            settings={"epochs": 4, "optimizer": {"name": "sgd", "lr": 0.05}, "callbacks": callbacks, **settings},
            batch_size=16,
            precision=Precision(precision, precision == "bf16"),
            folder=folder,
            callbacks=[Watch()],
        )
        trainer.fit()
        return trainer

    return make


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


AVERAGED: list[dict[str, Any]] = [
    {"name": "ema", "decay": 0.8, "batch_norm": "average"},
    {"name": "ema", "decay": 0.8, "batch_norm": "reestimate"},
    {"name": "ema", "decay": 0.8, "batch_norm": "copy"},
    {"name": "swa", "start": 0.3},
]


@pytest.mark.parametrize("callback", AVERAGED, ids=str)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_is_the_same_bit_for_bit(callback: dict[str, Any], precision: str, train: Make) -> None:
    plain, averaged = train([], precision), train([callback], precision)
    assert same(averaged.task.state_dict(), plain.task.state_dict())
    assert all(same(a, b) for a, b in zip(averaged.callbacks[-1].steps, plain.callbacks[-1].steps))
    diaries = [[{k: r[k] for k in ("train/loss", "step", "lr")} for r in t.log.read()] for t in (plain, averaged)]
    assert diaries[0] == diaries[1]
    assert not all(same(a, b) for a, b in zip(averaged.callbacks[-1].judged, plain.callbacks[-1].judged))


@pytest.mark.parametrize("callback", AVERAGED, ids=str)
def test_the_average_is_judged_and_kept_as_the_best(callback: dict[str, Any], train: Make) -> None:
    trainer = train([callback], monitor={"metric": "loss", "mode": "min"})
    history = [record["val/loss"] for record in trainer.log.read() if record["event"] == "epoch"]
    best = history.index(min(history))
    checkpoint.load_model(trainer.folder / "checkpoints" / "best", trainer.task)
    assert same(trainer.task.state_dict(), trainer.callbacks[-1].judged[best])
    outputs, _ = evaluate(trainer.task, trainer.val, 32, torch.device("cpu"))
    assert trainer.task.metrics(outputs)["loss"] == min(history)
    checkpoint.load_model(trainer.folder / "checkpoints" / "last", trainer.task)
    assert same(trainer.task.state_dict(), trainer.callbacks[-1].steps[-1])


def test_swa_is_the_mean_with_statistics_that_torch_would_estimate(train: Make) -> None:
    trainer = train([{"name": "swa", "start": 0.5}])
    watch, per_epoch = trainer.callbacks[-1], trainer.steps_per_epoch
    ends = [watch.steps[epoch * per_epoch - 1] for epoch in (2, 3, 4)]
    judged = watch.judged[-1]
    task = trainer.task
    with torch.no_grad():
        for name, parameter in task.named_parameters():
            parameter.copy_(torch.stack([end[name] for end in ends]).double().mean(0))
            assert torch.allclose(judged[name], parameter, rtol=1e-5, atol=1e-7), name
    inputs = [batch["x"] for batch in trainer.state.training_batches()]
    task.model.dropout.p = 0.0
    update_bn(inputs, nn.Sequential(task.norm, task.model))  # type: ignore[arg-type]
    for name, buffer in task.named_buffers():
        assert torch.allclose(judged[name].double(), buffer.double(), rtol=1e-4, atol=1e-6), name


@pytest.mark.parametrize(("mode", "own"), [("average", False), ("copy", True), ("reestimate", False)])
def test_which_statistics_ema_is_judged_with(mode: BatchNorm, own: bool, train: Make) -> None:
    watch = train([{"name": "ema", "decay": 0.8, "warmup": False, "batch_norm": mode}]).callbacks[-1]
    name = next(key for key in watch.judged[-1] if key.endswith("running_mean"))
    judged, trained = watch.judged[-1][name], watch.steps[-1][name]
    assert torch.equal(judged, trained) == own
    if mode == "average":
        expected = watch.steps[0][name]
        for step in watch.steps[1:]:
            expected = 0.8 * expected + 0.2 * step[name]
        assert torch.allclose(judged, expected, rtol=1e-4, atol=1e-6)


def test_statistics_are_estimated_as_the_network_will_run() -> None:
    """Under autocast, where it trains and is validated so."""
    seen = []

    class Net(Scalar):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(2)

        def evaluate(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
            seen.append(torch.is_autocast_enabled("cpu"))
            return {"out": self.norm(batch["x"])}

    state = State(Net(), "loss", "min", 1, training_batches=lambda: iter([{"x": torch.rand(4, 2)}] * 5))
    state.autocast = torch.autocast("cpu", dtype=torch.bfloat16)
    state.total_steps = state.steps_per_epoch = state.step = 1
    callback = SWA(batches=3)
    callback.on_train_start(state)
    callback.on_step_end(state)
    with callback.judging(state):
        pass
    assert seen == [True, True, True], "of three batches"


def test_averages_are_float32_under_bf16(train: Make) -> None:
    trainer = train([{"name": "ema", "decay": 0.9}], "bf16")
    saved = checkpoint.load_state(trainer.folder / "checkpoints" / "last")["callbacks"][0]
    assert saved["count"] == trainer.state.step
    assert {tensor.dtype for tensor in saved["averages"].values()} == {torch.float32}


def test_two_averages_at_once_are_refused(make_trainer: Make) -> None:
    with pytest.raises(LamplighterError, match="keep one"):
        make_trainer(settings={"callbacks": [{"name": "ema"}, {"name": "swa"}]})


@pytest.mark.parametrize(
    ("name", "params"),
    [("ema", {"decay": 1.0}), ("ema", {"every": 0}), ("ema", {"batch_norm": "none"}), ("swa", {"start": 1.0}),
     ("swa", {"every": 0}), ("swa", {"every": "step"})],
)  # fmt: skip
def test_bad_parameters_are_refused(name: str, params: dict[str, Any]) -> None:
    with pytest.raises(LamplighterError, match=next(iter(params))):
        registry.build("callback", name, params)
