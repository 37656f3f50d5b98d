"""The loss of the next token, weighted by tokens; counts to compare with; what cannot be learned from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lamplighter.core import registry
from lamplighter.core.errors import DataError
from lamplighter.core.signature import Column, Signature, TensorSpec, Vocabulary
from lamplighter.data.token_rows import TokenRows
from lamplighter.data.tokenization.ragged import Ragged
from lamplighter.models.generation.settings import GenerationSettings
from lamplighter.tasks.base import Task
from lamplighter.tasks.samples import write

TEXTS = Signature(
    inputs=(Column(name="text", kind="text"),),
    tensors=(
        TensorSpec(name="input_ids", dtype="int64", shape=(None,), pad=0, longest=8),
        TensorSpec(name="attention_mask", dtype="bool", shape=(None,), pad=0, longest=8),
    ),
    targets=(Column(name="next token", kind="tokens"),),
    vocabulary=Vocabulary(size=12, pad=0, bos=1, eos=2),
)


def _rows(count: int = 40) -> TokenRows:
    rng = np.random.default_rng(0)
    rows = [np.r_[1, 3 + (rng.integers(9) + np.arange(rng.integers(2, 8))) % 9] for _ in range(count)]
    return TokenRows(Ragged.of(rows), 0, ragged={"y": Ragged.of([np.append(row[1:], -1) for row in rows])})


def _task(**params: Any) -> Task:
    facts: dict[str, Any] = {**TEXTS.facts(), "seed": 0, "rows": lambda split: _rows()}
    torch.manual_seed(0)
    model = {
        "n_embd": 16,
        "n_layer": 1,
        "n_head": 2,
        "n_positions": 8,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
    }
    facts["model"] = registry.build("model", "gpt2", model, facts)
    task: Task = registry.build("task", "language-model", params, facts)
    return task


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_mean_over_tokens(smoothing: float) -> None:
    task, batch = _task(label_smoothing=smoothing).double(), _rows().fetch(np.arange(20))
    (loss,) = task.step(batch)
    logits = task.model(batch["input_ids"], batch["attention_mask"])  # type: ignore[operator]
    wanted = F.cross_entropy(logits.flatten(0, 1), batch["y"].flatten(), ignore_index=-1, label_smoothing=smoothing)
    torch.testing.assert_close(loss.value, wanted, rtol=1e-10, atol=0)
    assert float(loss.weight) == float((batch["y"] >= 0).sum())
    loss.value.backward()
    own = [parameter.grad.clone() for parameter in task.parameters() if parameter.grad is not None]
    task.zero_grad()
    wanted.backward()
    for ours, theirs in zip(own, (p.grad for p in task.parameters() if p.grad is not None)):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-14)


def test_it_is_compared_with_counts() -> None:
    others = _task().compared()
    assert list(others) == ["unigram counts", "bigram counts"]
    batch = _rows().fetch(np.arange(40))
    losses = {
        name: task.metrics({key: value.numpy() for key, value in task.evaluate(batch).items()})["loss"]
        for name, task in others.items()
    }
    assert losses["bigram counts"] < 0.6 * losses["unigram counts"] < 2
    assert _task(baselines=False).compared() == {}


def test_data_of_another_kind_is_refused() -> None:
    facts = TEXTS.model_copy(update={"targets": (Column(name="price", kind="numeric"),)})
    with pytest.raises(DataError, match=r"'price' \(numeric\); use data: {name: text-files}"):
        registry.build("task", "language-model", {}, {"model": torch.nn.Identity(), "signature": facts})


def test_writing_drops_the_oldest_tokens_but_the_first_and_stops_at_the_end() -> None:
    seen: list[list[int]] = []

    class Counts(torch.nn.Module):
        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            seen.append(ids[0].tolist())
            following = 2 if ids[0, -1] == 9 else int(ids[0, -1]) + 1
            return F.one_hot(torch.full(ids.shape, following), 12).float()

    settings = GenerationSettings(max_new_tokens=20)
    written = write(Counts(), torch.tensor([1, 3]), settings, never=[0], end=2, longest=4)
    assert written.tolist() == [4, 5, 6, 7, 8, 9]
    assert seen[-1] == [1, 7, 8, 9]
