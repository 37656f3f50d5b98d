"""Texts into classes: the task is classification on token ids; padding has no say, and the wrong data is named."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lamplighter.core import registry
from lamplighter.core.errors import DataError
from lamplighter.core.signature import Column, Signature, TensorSpec, Vocabulary
from lamplighter.tasks.base import Task

TEXTS = Signature(
    inputs=(Column(name="text", kind="text"),),
    tensors=(
        TensorSpec(name="input_ids", dtype="int64", shape=(None,), pad=0, longest=12),
        TensorSpec(name="attention_mask", dtype="bool", shape=(None,), pad=0, longest=12),
    ),
    targets=(Column(name="label", kind="category", categories=("neg", "pos")),),
    vocabulary=Vocabulary(size=20, pad=0),
)
MODELS: dict[str, dict[str, Any]] = {
    "lstm": {"embedding_dim": 8, "hidden_size": 8, "bidirectional": True},
    "textcnn": {"embedding_dim": 8, "channels": 4},
    "bert": {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "max_position_embeddings": 12,
    },
}


def build(model: str = "lstm", signature: Signature = TEXTS, **params: Any) -> Task:
    torch.manual_seed(0)
    facts = {**signature.facts(), "seed": 0, "class_counts": (5, 7)}
    facts["model"] = registry.build("model", model, MODELS.get(model, {}), facts)
    task: Task = registry.build("task", "text-classification", params, facts)
    return task


def batch(length: int = 12) -> dict[str, Tensor]:
    """The class is whether token 7 stands in the text."""
    rng = torch.Generator().manual_seed(0)
    mask = torch.arange(12) < torch.randint(1, 13, (40, 1), generator=rng)
    ids = torch.randint(1, 20, (40, 12), generator=rng) * mask
    ids[:20, 0] = 7
    pad = torch.nn.functional.pad
    return {
        "input_ids": pad(ids, (0, length - 12)),
        "attention_mask": pad(mask, (0, length - 12)),
        "y": (ids == 7).any(1).long(),
    }


@pytest.mark.parametrize("model", ["lstm", "textcnn", "bert"])
def test_it_learns_and_padding_has_no_say(model: str) -> None:
    task = build(model)
    optimizer = torch.optim.Adam(task.parameters(), lr=0.02)
    task.train()
    for _ in range(80):
        for loss in task.step(batch()):
            optimizer.zero_grad()
            loss.value.backward()
            optimizer.step()
    task.eval()
    found = {name: value.detach().numpy() for name, value in task.evaluate(batch()).items()}
    assert task.metrics(found)["accuracy"] > 0.9
    longest = 12 if model == "bert" else 15
    longer = task.evaluate({**batch(longest), "y": batch()["y"]})
    torch.testing.assert_close(longer["logits"], torch.from_numpy(found["logits"]), rtol=1e-5, atol=1e-5)
    alone = torch.cat([task.evaluate({k: v[i : i + 1] for k, v in batch().items()})["logits"] for i in range(5)])
    torch.testing.assert_close(alone, torch.from_numpy(found["logits"][:5]), rtol=1e-5, atol=1e-5)


def test_losses_and_thresholds_of_classification_are_there() -> None:
    task = build(loss={"name": "focal"}, class_weights="balanced", positive="neg")
    assert task.positive == 0
    (loss,) = task.step(batch())
    assert torch.isfinite(loss.value)
    resolved = task.resolved()
    assert resolved["loss"].name == "focal" and len(resolved["class_weights"]) == 2


def test_data_of_another_kind_is_named() -> None:
    table = Signature(
        inputs=(Column(name="age", kind="numeric"),),
        tensors=(TensorSpec(name="x", dtype="float32", shape=(1,)),),
        targets=TEXTS.targets,
    )
    with pytest.raises(DataError, match=r"takes texts, this data has 'age' \(numeric\)"):
        registry.build("task", "text-classification", {}, {"model": torch.nn.Identity(), "signature": table})
    with pytest.raises(DataError, match=r"use task: \{name: text-classification\}"):
        registry.build("task", "classification", {}, {"model": torch.nn.Identity(), "signature": TEXTS})
    tags = TEXTS.model_copy(update={"targets": (Column(name="t", kind="tags", categories=("O", "B-X")),)})
    with pytest.raises(DataError, match=r"this data has 't' \(tags\); use task: {name: tagging}"):
        registry.build("task", "text-classification", {}, {"model": torch.nn.Identity(), "signature": tags})
