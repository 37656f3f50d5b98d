"""What every callback must hold: it follows a training, disturbs nothing, and a resumed one goes on as if nothing
had happened."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from lamplighter.core import registry
from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.data.source import Batch
from lamplighter.tasks.base import Task
from lamplighter.train import checkpoint, rng
from lamplighter.train.callbacks.base import Callback, State
from lamplighter.train.distributed.strategy import Strategy

SIGNATURE = Signature(
    inputs=(Column(name="x", kind="image", shape=(4, 4, 1)),),
    tensors=(TensorSpec(name="x", dtype="uint8", shape=(1, 4, 4)),),
    targets=(Column(name="y", kind="category", categories=("a", "b", "c")),),
)
LOSSES = [1.0, 0.8, 0.7, 0.71, 0.69, 0.72, 0.73, 0.74, 0.75, 0.76]
STEPS = 2  # of an epoch


class _Second(Strategy):
    """Of the second of two processes that train together."""

    name = "ddp"
    rank, world = 1, 2


@pytest.fixture(params=registry.names("callback"))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Callbacks may write where training was started."""
    monkeypatch.chdir(tmp_path)


def build(name: str) -> Callback:
    facts = {**SIGNATURE.facts(), "seed": 0, "epochs": len(LOSSES)}
    callback: Callback = registry.build("callback", name, {}, facts)
    return callback


def batch() -> Batch:
    generator = torch.Generator().manual_seed(5)
    x = torch.randint(0, 256, (8, 1, 4, 4), generator=generator, dtype=torch.uint8)
    return {"x": x, "y": torch.tensor([0, 1, 2, -1, 0, 1, -1, 2]), "index": torch.arange(8)}


def state(folder: Path, mode: Literal["min", "max"] = "min", writes: bool = True) -> State:
    """Of a training that is about to begin; the network has batch normalisation and dropout."""
    folder.mkdir(exist_ok=True)
    with rng.untouched():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Flatten(), nn.Linear(12, 3))
    facts = {**SIGNATURE.facts(), "model": model, "input_statistics": ([127.0], [70.0])}
    task: Task = registry.build("task", "classification", {}, facts)
    optimizer = torch.optim.SGD(task.parameters(), lr=0.1)
    return State(
        task,
        "loss",
        mode,
        len(LOSSES),
        folder=folder,
        total_steps=STEPS * len(LOSSES),
        steps_per_epoch=STEPS,
        optimizers={"main": optimizer},
        training_batches=lambda: iter([batch()]),
        schedule=lambda step: 1 - step % 6 / 6,
        writes=writes,
        strategy=Strategy() if writes else _Second(),
    )


def epochs(callback: Callback, at: State, losses: list[float]) -> list[str | None]:
    """Run epochs as the trainer does; the stop reason after each. The weights move by themselves."""
    reasons = []
    for loss in losses:
        callback.on_epoch_start(at)
        for _ in range(STEPS):
            callback.on_batch(batch(), at, torch.Generator().manual_seed(at.step))
            _move(at.task, at.step)
            at.step += 1
            callback.on_step_end(at)
        at.task.eval()
        with callback.judging(at):
            at.metrics = {"train/loss": loss, "val/loss": loss, "val/accuracy": 1 - loss, "lr": 0.1}
            if at.best is None or loss < at.best:
                at.best, at.best_epoch, at.best_step = loss, at.epoch + 1, at.step
            callback.on_validation_end(at)
        at.task.train()
        at.epoch += 1
        callback.on_epoch_end(at)
        reasons.append(at.stop_reason)
    return reasons


def _move(task: Task, step: int) -> None:
    """A training step that needs no gradients: weights and batch-norm statistics change."""
    generator = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for parameter in task.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
        for buffer_name, buffer in task.named_buffers():
            if "running" in buffer_name:
                buffer.mul_(0.9).add_(0.1 * torch.rand(buffer.shape, generator=generator))


def weights(task: Task) -> dict[str, Tensor]:
    return {key: tensor.detach().clone() for key, tensor in task.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture
def at(tmp_path: Path, name: str) -> Iterator[State]:
    yield state(tmp_path / "run")


def test_follows_a_whole_training(name: str, at: State) -> None:
    callback = build(name)
    callback.on_train_start(at)
    reasons = epochs(callback, at, LOSSES)
    assert all(reason is None or reason.strip() for reason in reasons)
    callback.on_train_end(at)
    callback.close(at)


@pytest.mark.parametrize("cut", [1, 4, 6, 8])
def test_a_resumed_training_decides_alike(name: str, cut: int, tmp_path: Path) -> None:
    """Through a checkpoint's files, with the weights of the moment; afterwards it holds the same state."""
    whole, at = build(name), state(tmp_path / "whole")
    whole.on_train_start(at)
    expected = epochs(whole, at, LOSSES)

    first, before = build(name), state(tmp_path / "cut")
    first.on_train_start(before)
    epochs(first, before, LOSSES[:cut])
    checkpoint.save(tmp_path / "last", before.task, {"callback": first.state_dict()})
    first.close(before)

    second, after = build(name), state(tmp_path / "cut")
    checkpoint.load_model(tmp_path / "last", after.task)
    for field in ("epoch", "step", "metrics", "best", "best_epoch", "best_step", "stop_reason"):
        setattr(after, field, getattr(before, field))
    second.load_state_dict(checkpoint.load_state(tmp_path / "last")["callback"])
    second.on_train_start(after)
    assert epochs(second, after, LOSSES[cut:]) == expected[cut:]
    assert _plain(second.state_dict()) == _plain(whole.state_dict())
    with whole.judging(at), second.judging(after):
        assert same(weights(at.task), weights(after.task))
    whole.close(at)
    second.close(after)


def test_the_state_of_a_fresh_callback_can_be_saved_and_loaded(name: str) -> None:
    callback, twin = build(name), build(name)
    twin.load_state_dict(callback.state_dict())
    assert _plain(twin.state_dict()) == _plain(callback.state_dict())


def test_training_goes_on_as_it_would_have_without(name: str, at: State, tmp_path: Path) -> None:
    """Weights, statistics and the global random numbers are those of a training without callbacks."""
    alone = state(tmp_path / "alone")
    torch.manual_seed(7)
    epochs(Callback(), alone, LOSSES)
    expected = torch.rand(3)
    callback = build(name)
    torch.manual_seed(7)
    callback.on_train_start(at)
    epochs(callback, at, LOSSES)
    assert torch.equal(torch.rand(3), expected)
    assert same(weights(at.task), weights(alone.task))
    callback.close(at)


def test_judging_puts_everything_back_even_after_an_error(name: str, at: State) -> None:
    callback = build(name)
    callback.on_train_start(at)
    epochs(callback, at, LOSSES)
    before, mode = weights(at.task), at.task.training
    with pytest.raises(ZeroDivisionError), callback.judging(at):
        raise ZeroDivisionError
    assert same(weights(at.task), before)
    assert at.task.training == mode
    callback.close(at)


def test_a_batch_is_changed_by_the_generator_alone_and_not_in_place(name: str, at: State) -> None:
    callback = build(name)
    callback.on_train_start(at)
    given, kept = batch(), batch()
    torch.manual_seed(0)
    first = callback.on_batch(given, at, torch.Generator().manual_seed(3))
    torch.manual_seed(1)
    again = callback.on_batch(copy.copy(given), at, torch.Generator().manual_seed(3))
    assert same(given, kept)
    assert same(first, again)
    assert first.keys() == given.keys()
    assert all(len(tensor) == 8 for tensor in first.values())
    assert torch.equal(first["index"], kept["index"])
    callback.close(at)


def test_rows_without_a_label_get_none_and_the_others_keep_theirs(name: str, at: State) -> None:
    callback = build(name)
    callback.on_train_start(at)
    y = callback.on_batch(batch(), at, torch.Generator().manual_seed(3))["y"]
    labelled = y.sum(dim=1) if y.is_floating_point() else (y >= 0).float()
    assert torch.allclose(labelled, (batch()["y"] >= 0).float(), atol=1e-6)
    callback.close(at)


def test_a_process_that_does_not_write_writes_nothing(name: str, tmp_path: Path) -> None:
    silent, loud = state(tmp_path / "silent", writes=False), state(tmp_path / "loud")
    decisions = []
    for at in (silent, loud):
        callback = build(name)
        callback.on_train_start(at)
        decisions.append(epochs(callback, at, LOSSES))
        callback.on_train_end(at)
        callback.close(at)
        if at is silent:
            assert sorted(path.name for path in tmp_path.iterdir()) == ["loud", "silent"]
            assert list((tmp_path / "silent").iterdir()) == []
    assert decisions[0] == decisions[1], "processes must decide alike"


def test_close_may_come_at_any_time(name: str, at: State) -> None:
    callback = build(name)
    callback.close(at)
    callback.on_train_start(at)
    callback.close(at)
    callback.close(at)


def _plain(value: Any) -> str:
    """Comparable text of a state; tensors become lists."""
    return json.dumps(value, default=lambda item: item.tolist(), sort_keys=True)
