"""Tags for words: what counts, what a CRF changes, and that what is judged is what the bundle will answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lamplighter.bundle.manifest import Output
from lamplighter.bundle.runtime.kinds.tagging import Tagging as Kind
from lamplighter.core import registry
from lamplighter.core.errors import DataError, RecipeError
from lamplighter.core.signature import Column, Signature, TensorSpec, Vocabulary
from lamplighter.metrics import tags
from lamplighter.nn.crf import CRF
from lamplighter.tasks.tagging import Tagging, words_of

LABELS = ("O", "B-PER", "I-PER")
SIGNATURE = Signature(
    inputs=(Column(name="words", kind="text"),),
    tensors=(
        TensorSpec(name="input_ids", dtype="int64", shape=(None,), pad=0, longest=16),
        TensorSpec(name="attention_mask", dtype="bool", shape=(None,), pad=0, longest=16),
    ),
    targets=(Column(name="tags", kind="tags", categories=LABELS),),
    vocabulary=Vocabulary(size=20, pad=0),
)


def build(model: dict[str, Any] | None = None, **params: Any) -> Tagging:
    torch.manual_seed(0)
    facts: dict[str, Any] = {**SIGNATURE.facts(), "seed": 0, "class_counts": (50, 9, 9)}
    settings = {"embedding_dim": 12, "hidden_size": 12, "bidirectional": True, **(model or {})}
    facts["model"] = registry.build("model", "lstm", settings, facts)
    task: Tagging = registry.build("task", "tagging", params, facts)
    return task


def batch(rows: int = 60) -> dict[str, Tensor]:
    """Begin, words of one or two tokens, end. Token 5 begins a person, a word after it with token 6 goes on with it."""
    rng = np.random.default_rng(0)
    ids, y = np.zeros((rows, 16), int), np.full((rows, 16), -1)
    for row in range(rows):
        place, inside = 1, False
        ids[row, 0] = 2
        for _ in range(int(rng.integers(1, 7))):
            token = int(rng.choice([5, 6, 6, 9, 10, 11]))
            inside = token == 5 or (token == 6 and inside)
            ids[row, place] = token
            y[row, place] = 1 if token == 5 else 2 if inside else 0
            if rng.random() < 0.4:
                ids[row, place + 1] = 15
                place += 1
            place += 1
        ids[row, place] = 3
    tokens = torch.from_numpy(ids)
    return {"input_ids": tokens, "attention_mask": tokens > 0, "y": torch.from_numpy(y)}


def trained(task: Tagging, steps: int = 60) -> Tagging:
    optimizer = torch.optim.Adam(task.parameters(), lr=0.03)
    for _ in range(steps):
        for loss in task.train().step(batch()):
            optimizer.zero_grad()
            loss.value.backward()
            optimizer.step()
    return task.eval()


def evaluated(task: Tagging, rows: dict[str, Tensor]) -> dict[str, np.ndarray]:
    with torch.inference_mode():
        return {name: value.numpy() for name, value in task.evaluate(rows).items()}


def test_the_loss_is_cross_entropy_over_first_tokens() -> None:
    task, rows = build().eval(), batch()
    (loss,) = task.step(rows)
    logits = task.model(rows["input_ids"], rows["attention_mask"])
    first = rows["y"] >= 0
    torch.testing.assert_close(loss.value, F.cross_entropy(logits[first], rows["y"][first]))
    assert loss.weight == first.sum()
    found = evaluated(task, rows)
    assert task.metrics(found)["loss"] == pytest.approx(float(loss.value.detach()), rel=1e-5)
    assert found["predicted"].shape == found["y"].shape == (60, 16)


@pytest.mark.parametrize("own", [False, True], ids=["the task's", "the model's"])
def test_the_loss_of_a_crf_is_over_words(own: bool) -> None:
    task = build({"crf": True}).eval() if own else build(crf=True).eval()
    assert isinstance(task.crf, CRF) and (task.own_crf is None) is own
    rows = batch()
    (loss,) = task.step(rows)
    logits = task.model(rows["input_ids"], rows["attention_mask"])
    total, words = torch.zeros(()), 0
    for row, y in zip(logits, rows["y"]):
        first = y >= 0
        total = total + task.crf(row[first][None], y[first][None])[0]
        words += int(first.sum())
    torch.testing.assert_close(loss.value, total / words, rtol=1e-5, atol=1e-5)
    assert loss.weight == words
    assert task.metrics(evaluated(task, rows))["loss"] == pytest.approx(float(loss.value.detach()), rel=1e-5)


@pytest.mark.parametrize("crf", [False, True])
def test_it_learns_and_the_bundle_answers_what_was_judged(crf: bool) -> None:
    task, rows = trained(build(crf=crf)), batch()
    found = evaluated(task, rows)
    assert task.metrics(found)["entity_f1"] > 0.9
    spec = task.export()
    with torch.inference_mode():
        logits, embedding = spec.module(rows["input_ids"], rows["attention_mask"])
    kind = Kind(Output(kind="tagging", labels=LABELS, settings=dict(spec.settings)))
    starts = (rows["y"] >= 0).numpy()
    words = np.empty(60, dtype=object)
    for row in range(60):
        words[row] = ["w"] * int(starts[row].sum())
    answers = kind.answers({"logits": logits.numpy()}, {"word_starts": starts, "words": words})
    judged = [[LABELS[code] for code in own[own >= 0]] for own in found["predicted"]]
    assert [answer["tags"] for answer in answers] == judged
    assert spec.outputs == ("logits", "embedding") and embedding.shape == (60, 24)


def test_a_crf_never_answers_what_the_scheme_forbids() -> None:
    rows = batch()
    plain, crf = build().eval(), build(crf=True).eval()
    with torch.no_grad():
        for task in (plain, crf):
            task.model.head.bias.copy_(torch.tensor([0.0, 0.0, 5.0]))  # type: ignore[union-attr, operator]
    judged = [[LABELS[c] for c in own[own >= 0]] for own in evaluated(crf, rows)["predicted"]]
    assert all(len(tags.entities(own, "bio")) == len(tags.entities(own)) for own in judged)
    wrong = [[LABELS[c] for c in own[own >= 0]] for own in evaluated(plain, rows)["predicted"]]
    assert any(own[0] == "I-PER" for own in wrong)


def test_metrics_of_the_recipe() -> None:
    task, rows = build().eval(), batch()
    found = evaluated(task, rows)
    predicted, y = task.metric_inputs("tags", found)
    assert tags.entity_f1(tags.entity_counts(predicted, y)) == pytest.approx(task.metrics(found)["entity_f1"])
    own, true = task.metric_inputs("labels", found)
    assert (own == true).mean() == pytest.approx(task.metrics(found)["token_accuracy"])
    with pytest.raises(DataError, match="it takes values"):
        task.metric_inputs("values", found)


def test_weights_and_what_does_not_go_together() -> None:
    task = build(class_weights="balanced")
    assert task.resolved()["class_weights"] is not None
    (plain,), (weighted,) = build().eval().step(batch()), task.eval().step(batch())
    assert float(plain.value.detach()) != pytest.approx(float(weighted.value.detach()), rel=1e-3)
    with pytest.raises(RecipeError, match="with a CRF the loss is the sequence's"):
        build(crf=True, class_weights="balanced")
    with pytest.raises(RecipeError, match="with a CRF the loss is the sequence's"):
        build(crf=True, loss={"name": "focal"})
    assert build(crf=True).resolved() == {}


def test_targets_are_checked() -> None:
    task = build()
    task.check_targets(batch()["y"])
    with pytest.raises(DataError, match="tag 7 does not fit 3 labels"):
        task.check_targets(torch.tensor([0, 7]))
    with pytest.raises(DataError, match="no word of the training split has a tag"):
        task.check_targets(torch.tensor([-1, -1]))


def test_parts_of_speech_are_judged_by_words() -> None:
    names = ("DET", "NOUN")
    target = Column(name="tags", kind="tags", categories=names)
    signature = SIGNATURE.model_copy(update={"targets": (target,)})
    facts: dict[str, Any] = {**signature.facts(), "seed": 0}
    facts["model"] = registry.build("model", "lstm", {"hidden_size": 4}, facts)
    assert registry.build("task", "tagging", {}, facts).monitor == ("token_accuracy", "max")


def test_words_of_rows_without_any() -> None:
    logits, y = words_of(torch.randn(2, 4, 3), torch.tensor([[-1, 1, -1, 2], [-1, -1, -1, -1]]))
    assert y.tolist() == [[1, 2], [-1, -1]] and logits.shape == (2, 2, 3)
