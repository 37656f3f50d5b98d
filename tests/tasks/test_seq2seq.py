"""Teacher forcing, decoding in evaluation, whole texts compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lamplighter.core import registry
from lamplighter.core.errors import DataError, TrainingError
from lamplighter.data.sources.reversal import Reversal
from lamplighter.models.generation.seq2seq import greedy
from lamplighter.tasks.seq2seq import Seq2SeqTask

SOURCE = Reversal(rows=60, shortest=2, longest=5, symbols=5)


def _task(**params: Any) -> Seq2SeqTask:
    facts: dict[str, Any] = {**SOURCE.signature.facts(), "seed": 0, "tokenizer": SOURCE.tokenizer}
    torch.manual_seed(0)
    facts["model"] = registry.build("model", "seq2seq", {"embedding_dim": 8, "hidden_size": 16}, facts)
    task: Seq2SeqTask = registry.build("task", "seq2seq", params, facts)
    return task


def test_the_decoder_is_shown_the_true_tokens_one_behind() -> None:
    task, batch = _task().double(), SOURCE.split("train").fetch(np.arange(12))
    (loss,) = task.step(batch)
    y = batch["y"]
    before = torch.full_like(y, 0)
    before[:, 0] = 2
    before[:, 1:] = y[:, :-1].clamp(min=0)
    logits = task.model(batch["input_ids"], batch["attention_mask"], before)
    wanted = F.cross_entropy(logits.flatten(0, 1), y.flatten(), ignore_index=-1)
    torch.testing.assert_close(loss.value, wanted, rtol=1e-10, atol=0)
    assert float(loss.weight) == float((y >= 0).sum())


@pytest.mark.parametrize("beams", [1, 3])
def test_evaluation_writes_by_itself(beams: int) -> None:
    task, batch = _task(num_beams=beams).eval(), SOURCE.split("val").fetch(np.arange(6))
    with torch.no_grad():
        found = task.evaluate(batch)
    assert found["written"].shape == found["y"].shape == (6, task.limit)
    if beams == 1:
        own = greedy(task.model, batch["input_ids"], batch["attention_mask"], task.limit)  # type: ignore[arg-type]
        assert torch.equal(found["written"][:, : own.shape[1]], own)
    outputs = {name: value.numpy() for name, value in found.items()}
    perfect = task.metrics({**outputs, "written": outputs["y"]})
    assert perfect["exact_match"] == 1 and perfect["bleu"] == pytest.approx(1)
    one_wrong = outputs["y"].copy()
    one_wrong[0, 0] = (one_wrong[0, 0] - 4) % 5 + 5
    assert task.metrics({**outputs, "written": one_wrong})["exact_match"] == pytest.approx(5 / 6)


def test_what_stands_behind_the_end_token_does_not_count() -> None:
    task = _task()
    texts = task._decoded(np.array([[6, 7, 3, 8, 8], [6, 7, 3, -1, -1], [6, 7, 0, 0, 0]]))
    assert len(set(texts)) == 1 and len(texts[0].split()) == 2


def test_samples_show_source_answer_and_truth() -> None:
    for sample in _task().shown(SOURCE)["samples"]:
        assert sample["true"].split() == sample["given"].split()[::-1]


def test_what_does_not_fit_is_named() -> None:
    facts = {"signature": SOURCE.signature}
    with pytest.raises(DataError, match=r"an encoder and a decoder: seq2seq or transformer"):
        registry.build("task", "seq2seq", {}, {**facts, "model": torch.nn.Identity()})
    batch = SOURCE.split("val").fetch(np.arange(6))
    with pytest.raises(TrainingError, match=r"at most 2 are written; raise task.max_new_tokens"):
        _task(max_new_tokens=2).evaluate(batch)
