"""What every task must hold: losses the trainer can step on, metrics of whole splits, a network to export."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lamplighter.core import registry
from lamplighter.core.recipe import Component
from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.data.rows import TensorRows
from lamplighter.tasks.base import Task
from lamplighter.tasks.teacher import FinishedRun

LABELS = ("ash", "birch", "cedar")
_X = TensorSpec(name="x", dtype="float32", shape=(6,))
_INPUTS = tuple(Column(name=f"c{i}", kind="numeric") for i in range(6))

TARGETS: dict[str, tuple[Column, ...]] = {
    "classification": (Column(name="tree", kind="category", categories=LABELS),),
    "distillation": (Column(name="tree", kind="category", categories=LABELS),),
    "ensemble": (Column(name="tree", kind="category", categories=LABELS),),
    "regression": (Column(name="height", kind="numeric"), Column(name="girth", kind="numeric")),
}
"""The targets each task is tried with. A new task needs a line here."""

PARAMS: dict[str, dict[str, Any]] = {
    "distillation": {"teacher": "runs/teacher/1", "features": 0.1},
    "ensemble": {"members": 3},
}
"""What a recipe must, or here does, say of a task."""

TAUGHT = {"distillation"}
"""Tasks that learn from rows without a target, too."""


def signature(name: str) -> Signature:
    return Signature(inputs=_INPUTS, tensors=(_X,), targets=TARGETS[name])


def batch(name: str, rows: int = 48) -> dict[str, Tensor]:
    """Learnable rows: the target is a function of x."""
    x = torch.randn(rows, 6, generator=torch.Generator().manual_seed(0))
    if signature(name).labels:
        return {"x": x, "y": x[:, :3].argmax(1)}
    return {"x": x, "y": torch.stack([100 + 20 * x[:, 0], x[:, 1] - x[:, 2]], 1)}


def build(name: str) -> Task:
    if name not in TARGETS:
        pytest.fail(f"task '{name}' has no targets to be tried with; add a line to TARGETS in {__file__}")
    torch.manual_seed(0)
    return _make(name, 0, None, Component(name=name).replace(**PARAMS.get(name, {})))


def _make(name: str, number: int, model: Component | None, component: Component) -> Task:
    facts: dict[str, Any] = signature(name).facts() | {"seed": 0, "input_statistics": ([0.1] * 6, [0.9] * 6)}
    if not signature(name).labels:
        facts["target_statistics"] = ([100.0, 0.0], [20.0, 1.4])
    rows = TensorRows(batch(name))
    facts |= {"rows": lambda split: rows, "augmented": False, "open_run": _open_run}
    facts["make_task"] = functools.partial(_make, name)
    facts["model"] = registry.build("model", *((model.name, model.params) if model else ("mlp", {})), facts)
    task: Task = registry.build("task", component.name, component.params, facts)
    return task


def _open_run(path: str) -> FinishedRun:
    """A linear teacher that knows the answers."""
    facts = signature("classification").facts()
    model = registry.build("model", "mlp", {"hidden": []}, facts)
    with torch.no_grad():
        model.head.weight.copy_(4 * torch.eye(6)[:3])
        model.head.bias.zero_()
    task: Task = registry.build("task", "classification", {}, {**facts, "model": model})
    return FinishedRun(path, task.eval(), "0" * 64, lambda: outputs(task, batch("classification")))


@pytest.fixture(params=registry.names("task"))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_losses_weigh_rows_and_carry_gradients(name: str) -> None:
    task = build(name).train()
    losses = list(task.step(batch(name)))
    assert losses
    for loss in losses:
        assert loss.value.ndim == 0 and torch.isfinite(loss.value) and loss.value.requires_grad
        assert loss.weight > 0
        assert not any(value.requires_grad for value in loss.metrics.values())
        assert dict(task.parameters_of(loss.optimizer))


def test_every_parameter_belongs_to_an_optimizer(name: str) -> None:
    task = build(name)
    optimizers = {loss.optimizer for loss in task.train().step(batch(name))}
    owned = [key for optimizer in optimizers for key, _ in task.parameters_of(optimizer)]
    assert sorted(owned) == sorted(key for key, _ in task.named_parameters())


def test_training_lowers_the_metric_loss(name: str) -> None:
    task = build(name)
    optimizer = torch.optim.Adam(task.parameters(), lr=0.01)
    before = metrics(task, batch(name))["loss"]
    task.train()
    for _ in range(60):
        for loss in task.step(batch(name)):
            optimizer.zero_grad()
            loss.value.backward()
            optimizer.step()
    assert metrics(task, batch(name))["loss"] < 0.7 * before


def outputs(task: Task, rows: dict[str, Tensor]) -> dict[str, np.ndarray]:
    task.eval()
    with torch.inference_mode():
        return {key: value.numpy() for key, value in task.evaluate(rows).items()}


def metrics(task: Task, rows: dict[str, Tensor]) -> dict[str, float]:
    return task.metrics(outputs(task, rows))


def test_evaluation_is_independent_of_the_batch(name: str) -> None:
    task = build(name)
    rows = batch(name)
    whole = outputs(task, rows)
    parts = [outputs(task, {key: value[i : i + 7] for key, value in rows.items()}) for i in range(0, 48, 7)]
    for key, value in whole.items():
        assert value.shape[0] == 48
        np.testing.assert_allclose(np.concatenate([part[key] for part in parts]), value, rtol=1e-4, atol=1e-4)


def test_rows_with_a_blank_target_are_left_out(name: str) -> None:
    task = build(name)
    rows = batch(name)
    blanked = {key: value.clone() for key, value in rows.items()}
    blanked["y"][5] = -1 if signature(name).labels else float("nan")
    keep = [i for i in range(48) if i != 5]
    expected = outputs(task, {key: value[keep] for key, value in rows.items()})
    got = outputs(task, blanked)
    for key, value in expected.items():
        np.testing.assert_allclose(got[key], value, rtol=1e-4, atol=1e-4)
    if name in TAUGHT:
        return
    left_out = {key: value[keep] for key, value in rows.items()}
    for loss, wanted in zip(task.train().step(blanked), task.step(left_out), strict=True):
        torch.testing.assert_close(loss.value, wanted.value)
        assert loss.weight == wanted.weight


def test_weighted_losses_of_parts_make_the_loss_of_the_whole(name: str) -> None:
    """What accumulating gradients over micro-batches of different sizes relies on."""
    task = build(name).eval()
    rows = batch(name)
    rows["y"][7] = -1 if signature(name).labels else float("nan")
    whole = list(task.step(rows))
    parts = [list(task.step({key: value[cut] for key, value in rows.items()})) for cut in (slice(20), slice(20, 48))]
    for phase, loss in enumerate(whole):
        pieces = [part[phase] for part in parts]
        total = sum(float(piece.weight) for piece in pieces)
        assert total == float(loss.weight)
        joined = sum(float(piece.value.detach()) * float(piece.weight) for piece in pieces) / total
        assert joined == pytest.approx(float(loss.value.detach()), rel=1e-5)


def test_metrics_and_scores_agree(name: str) -> None:
    task = build(name)
    found = outputs(task, batch(name))
    numbers, scores = task.metrics(found), task.scores(found)
    assert "loss" in numbers
    assert task.monitor[0] in numbers and task.monitor[1] in ("min", "max")
    assert set(scores) <= set(numbers) and scores
    for key, score in scores.items():
        assert score.value == pytest.approx(numbers[key])
        assert score.n == 48
        assert score.low <= score.value <= score.high


def test_export_is_the_network_as_evaluated(name: str) -> None:
    task = build(name)
    rows = batch(name)
    list(task.train().step(rows))  # moves running statistics
    expected = outputs(task, rows)
    spec = task.export()
    assert not spec.module.training
    with torch.inference_mode():
        results = spec.module(rows["x"])
    assert isinstance(results, tuple) and len(results) == len(spec.outputs)
    assert spec.outputs[0] == ("logits" if spec.kind == "classification" else "value")
    np.testing.assert_allclose(results[0].numpy(), expected[spec.outputs[0]], rtol=1e-4, atol=1e-4)
    assert all(value.dtype == torch.float32 and value.device.type == "cpu" for value in spec.module.parameters())


def test_the_state_dict_is_the_whole_task(name: str) -> None:
    task, twin = build(name), build(name)
    for parameter in task.parameters():
        nn.init.normal_(parameter, std=0.3)
    twin.load_state_dict(task.state_dict(), strict=True)
    rows: Any = batch(name)
    for key, value in outputs(task, rows).items():
        np.testing.assert_array_equal(outputs(twin, rows)[key], value)
