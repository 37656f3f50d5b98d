"""What every task must hold: losses the trainer can step on, metrics of whole splits, a network to export."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lamplighter.bundle.runtime import kinds
from lamplighter.core import registry
from lamplighter.core.recipe import Component
from lamplighter.core.signature import Column, Signature, TensorSpec, Vocabulary
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


@dataclass(frozen=True)
class Example:
    """What a task that does not learn from numbers is tried with.

    Attributes:
        signature: of the data.
        batch: rows -> a batch whose target is a function of its inputs.
        model: facts -> a small network.
        answers: the exported network's first output, as the task itself computes it.
    """

    signature: Signature
    batch: Callable[[int], dict[str, Tensor]]
    model: Callable[[dict[str, Any]], nn.Module]
    answers: Callable[[Any, dict[str, Tensor]], Tensor]


def _images(rows: int) -> dict[str, Tensor]:
    """Each pixel's class is its brightest channel; some pixels do not count."""
    x = torch.randn(rows, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    return {"x": x, "y": x.argmax(1).masked_fill(x[:, 0] > 2, -1)}


_TEXTS = (
    TensorSpec(name="input_ids", dtype="int64", shape=(None,), pad=0, longest=8),
    TensorSpec(name="attention_mask", dtype="bool", shape=(None,), pad=0, longest=8),
)
_VOCABULARY = Vocabulary(size=12, pad=0)


def _token_ids(rows: int) -> tuple[Tensor, Tensor]:
    """(N, 8) ids from 1 on, filled up with 0, and their mask."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 9, (rows, 1), generator=generator)
    mask = torch.arange(8) < lengths
    return torch.randint(1, 12, (rows, 8), generator=generator) * mask, mask


def _texts(rows: int) -> dict[str, Tensor]:
    """The class is the first token, modulo 3."""
    ids, mask = _token_ids(rows)
    return {"input_ids": ids, "attention_mask": mask, "y": ids[:, 0] % 3}


def _tagged(rows: int) -> dict[str, Tensor]:
    """Tokens above 9 go on with the word before; the tag of a word is its first token, modulo 3."""
    ids, mask = _token_ids(rows)
    first = mask & ((ids < 10) | (torch.arange(8) == 0))
    return {"input_ids": ids, "attention_mask": mask, "y": (ids % 3).masked_fill(~first, -1)}


def _text_model(facts: dict[str, Any]) -> nn.Module:
    model: nn.Module = registry.build("model", "lstm", {"embedding_dim": 8, "hidden_size": 8}, facts)
    return model


_WRITING = Vocabulary(size=12, pad=0, bos=1, eos=2, mask=3)


def _counting(rows: int) -> dict[str, Tensor]:
    """After each token comes the next number; the target is the next token."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.arange(8) < torch.randint(2, 9, (rows, 1), generator=generator)
    ids = (4 + (torch.randint(0, 8, (rows, 1), generator=generator) + torch.arange(8)) % 8) * mask
    pad = torch.nn.functional.pad
    following = pad(ids[:, 1:], (0, 1)).masked_fill(~pad(mask[:, 1:], (0, 1)), -1)
    return {"input_ids": ids, "attention_mask": mask, "y": following}


def _copied(rows: int) -> dict[str, Tensor]:
    """The first three tokens are to be written."""
    ids, mask = 4 + torch.randint(0, 3, (rows, 5), generator=torch.Generator().manual_seed(0)), torch.ones(rows, 5) > 0
    y = torch.cat([ids[:, :3], torch.full((rows, 1), 2)], dim=1)
    return {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": torch.full((rows, 1), 1), "y": y}


def _of_texts(kind: Literal["tokens", "text"], *more: TensorSpec) -> Signature:
    return Signature(
        inputs=(Column(name="text", kind="text"),),
        tensors=(*_TEXTS, *more),
        targets=(Column(name="target", kind=kind),),
        vocabulary=_WRITING,
    )


def _last(task: Any, rows: dict[str, Tensor]) -> Tensor:
    """Logits of each row's last token."""
    ids, mask = rows["input_ids"], rows["attention_mask"]
    return task.model(ids, mask)[torch.arange(len(ids)), mask.sum(1) - 1]


_BERT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}

EXAMPLES: dict[str, Example] = {
    "language-model": Example(_of_texts("tokens"), _counting, _text_model, _last),
    "masked-lm": Example(
        _of_texts("tokens"),
        _counting,
        lambda facts: registry.build("model", "bert", {**_BERT, "max_position_embeddings": 8}, facts),
        _last,
    ),
    "seq2seq": Example(
        _of_texts(
            "text", TensorSpec(name="decoder_input_ids", dtype="int64", shape=(None,), longest=6, group="decoder")
        ),
        _copied,
        lambda facts: registry.build("model", "seq2seq", {"embedding_dim": 8, "hidden_size": 16}, facts),
        lambda task, rows: task.model(rows["input_ids"], rows["attention_mask"], rows["decoder_input_ids"])[:, -1],
    ),
    "tagging": Example(
        Signature(
            inputs=(Column(name="words", kind="text"),),
            tensors=_TEXTS,
            targets=(Column(name="tags", kind="tags", categories=LABELS),),
            vocabulary=_VOCABULARY,
        ),
        _tagged,
        _text_model,
        lambda task, rows: task.model(rows["input_ids"], rows["attention_mask"]),
    ),
    "text-classification": Example(
        Signature(
            inputs=(Column(name="text", kind="text"),),
            tensors=_TEXTS,
            targets=(Column(name="tree", kind="category", categories=LABELS),),
            vocabulary=_VOCABULARY,
        ),
        _texts,
        _text_model,
        lambda task, rows: task.model(*task.inputs_of(rows)),
    ),
    "segmentation": Example(
        Signature(
            inputs=(Column(name="image", kind="image", shape=(5, 6, 3)),),
            tensors=(TensorSpec(name="x", dtype="float32", shape=(3, 5, 6)),),
            targets=(Column(name="mask", kind="mask", categories=LABELS),),
        ),
        _images,
        lambda facts: registry.build("model", "unet", {"width": 4, "depth": 1, "norm": "none"}, facts),
        lambda task, rows: task.logits(rows),
    ),
}
"""Tasks on images, texts and so on. A new one needs a line here."""

TAUGHT = {"distillation"}
"""Tasks that learn from rows without a target, too."""

SELF_TAUGHT = {"masked-lm"}
"""Tasks that make the target of each row themselves, anew in each step."""


def signature(name: str) -> Signature:
    if name in EXAMPLES:
        return EXAMPLES[name].signature
    return Signature(inputs=_INPUTS, tensors=(_X,), targets=TARGETS[name])


def batch(name: str, rows: int = 48) -> dict[str, Tensor]:
    """Learnable rows: the target is a function of x."""
    if name in EXAMPLES:
        return EXAMPLES[name].batch(rows)
    x = torch.randn(rows, 6, generator=torch.Generator().manual_seed(0))
    if signature(name).labels:
        return {"x": x, "y": x[:, :3].argmax(1)}
    return {"x": x, "y": torch.stack([100 + 20 * x[:, 0], x[:, 1] - x[:, 2]], 1)}


def build(name: str) -> Task:
    if name not in TARGETS and name not in EXAMPLES:
        pytest.fail(f"task '{name}' has nothing to be tried with; add a line to TARGETS or EXAMPLES in {__file__}")
    torch.manual_seed(0)
    return _make(name, 0, None, Component(name=name).replace(**PARAMS.get(name, {})))


def _make(name: str, number: int, model: Component | None, component: Component) -> Task:
    if name in EXAMPLES:
        facts: dict[str, Any] = signature(name).facts() | {"seed": 0}
        task: Task = registry.build("task", name, component.params, {**facts, "model": EXAMPLES[name].model(facts)})
        return task
    facts = signature(name).facts() | {"seed": 0, "input_statistics": ([0.1] * 6, [0.9] * 6)}
    if not signature(name).labels:
        facts["target_statistics"] = ([100.0, 0.0], [20.0, 1.4])
    rows = TensorRows(batch(name))
    facts |= {"rows": lambda split: rows, "augmented": False, "open_run": _open_run}
    facts["make_task"] = functools.partial(_make, name)
    facts["model"] = registry.build("model", *((model.name, model.params) if model else ("mlp", {})), facts)
    built: Task = registry.build("task", component.name, component.params, facts)
    return built


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
    if name in SELF_TAUGHT:
        pytest.skip("every row has a target")
    task = build(name)
    rows = batch(name)
    blanked = {key: value.clone() for key, value in rows.items()}
    blanked["y"][5] = float("nan") if blanked["y"].is_floating_point() else -1
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
    if name in SELF_TAUGHT:
        pytest.skip("each step draws its own targets")
    task = build(name).eval()
    rows = batch(name)
    rows["y"][7] = float("nan") if rows["y"].is_floating_point() else -1
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
        results = spec.module(*(rows[tensor.name] for tensor in signature(name).tensors))
        own = EXAMPLES[name].answers(task, rows).numpy() if name in EXAMPLES else expected[spec.outputs[0]]
    assert isinstance(results, tuple) and len(results) == len(spec.outputs)
    assert spec.outputs[0] == kinds.first_output(spec.kind)
    np.testing.assert_allclose(results[0].numpy(), own, rtol=1e-4, atol=1e-4)
    assert all(value.dtype == torch.float32 and value.device.type == "cpu" for value in spec.module.parameters())


def test_the_state_dict_is_the_whole_task(name: str) -> None:
    task, twin = build(name), build(name)
    for parameter in task.parameters():
        nn.init.normal_(parameter, std=0.3)
    twin.load_state_dict(task.state_dict(), strict=True)
    rows: Any = batch(name)
    for key, value in outputs(task, rows).items():
        np.testing.assert_array_equal(outputs(twin, rows)[key], value)
