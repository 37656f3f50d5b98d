"""What every callback must hold: it follows a training, and a resumed one goes on as if nothing had happened."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest

from lamplighter.core import registry
from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.train.callbacks.base import Callback, State

SIGNATURE = Signature(
    inputs=(Column(name="x", kind="numeric"),),
    tensors=(TensorSpec(name="x", dtype="float32", shape=(3,)),),
    targets=(Column(name="y", kind="category", categories=("a", "b")),),
)
LOSSES = [1.0, 0.8, 0.7, 0.71, 0.69, 0.72, 0.73, 0.74, 0.75, 0.76]


@pytest.fixture(params=registry.names("callback"))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def build(name: str) -> Callback:
    callback: Callback = registry.build("callback", name, {}, {"seed": 0})
    return callback


def state(mode: Literal["min", "max"] = "min") -> State:
    facts = SIGNATURE.facts()
    model = registry.build("model", "mlp", {}, facts)
    task = registry.build("task", "classification", {}, {**facts, "model": model})
    return State(task=task, monitor="loss", mode=mode, epochs=len(LOSSES))


def epochs(callback: Callback, at: State, losses: list[float]) -> list[str | None]:
    """Run epochs of two steps each; the stop reason after each epoch."""
    reasons = []
    for loss in losses:
        for _ in range(2):
            at.step += 1
            callback.on_step_end(at)
        at.epoch += 1
        at.metrics = {"train/loss": loss, "val/loss": loss, "val/accuracy": 1 - loss, "lr": 0.1}
        callback.on_epoch_end(at)
        reasons.append(at.stop_reason)
    return reasons


def test_follows_a_whole_training(name: str) -> None:
    callback, at = build(name), state()
    callback.on_train_start(at)
    reasons = epochs(callback, at, LOSSES)
    assert all(reason is None or reason.strip() for reason in reasons)


@pytest.mark.parametrize("cut", [1, 4, 6])
def test_a_resumed_training_decides_alike(name: str, cut: int) -> None:
    whole, at = build(name), state()
    whole.on_train_start(at)
    expected = epochs(whole, at, LOSSES)

    first, before = build(name), state()
    first.on_train_start(before)
    epochs(first, before, LOSSES[:cut])
    saved = first.state_dict()
    second, after = build(name), state()
    after.epoch, after.step, after.stop_reason = before.epoch, before.step, before.stop_reason
    second.load_state_dict(saved)
    second.on_train_start(after)
    assert epochs(second, after, LOSSES[cut:]) == expected[cut:]
    assert _plain(second.state_dict()) == _plain(whole.state_dict())


def test_the_state_of_a_fresh_callback_can_be_saved_and_loaded(name: str) -> None:
    callback, twin = build(name), build(name)
    twin.load_state_dict(callback.state_dict())
    assert _plain(twin.state_dict()) == _plain(callback.state_dict())


def _plain(value: Any) -> str:
    """Comparable text of a state; tensors become lists."""
    return json.dumps(value, default=lambda item: item.tolist(), sort_keys=True)
