"""Hidden tokens: which ones, with what loss, resumed bit for bit, judged alike, and better than counting."""

from __future__ import annotations

import json
import pydoc_data.topics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lamplighter.core import registry
from lamplighter.core.errors import DataError
from lamplighter.core.recipe import Recipe
from lamplighter.core.signature import Vocabulary
from lamplighter.data.sources.text_files import TextFiles
from lamplighter.run import fit
from lamplighter.tasks.masked_lm import MaskedLM

_BERT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 24,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> TextFiles:
    folder = tmp_path_factory.mktemp("text")
    (folder / "text.txt").write_text(pydoc_data.topics.topics["objects"], encoding="utf-8")
    return TextFiles(str(folder), tokenizer="wordpiece", vocab_size=400, length=24, around="both")


def _task(source: TextFiles, **params: Any) -> MaskedLM:
    facts: dict[str, Any] = {**source.signature.facts(), "seed": 0, "rows": source.split, "tokenizer": source.tokenizer}
    torch.manual_seed(0)
    facts["model"] = registry.build("model", "bert", _BERT, facts)
    task: MaskedLM = registry.build("task", "masked-lm", params, facts)
    return task


def test_the_loss_is_cross_entropy_at_the_chosen_places(source: TextFiles) -> None:
    task, batch = _task(source).double(), source.split("train").fetch(np.arange(16))
    ids, mask = batch["input_ids"], batch["attention_mask"]
    torch.manual_seed(7)
    (loss,) = task.step(batch)
    torch.manual_seed(7)
    wanted = task._chosen(torch.rand(ids.shape), ids, mask)
    draw, index = torch.rand(ids.shape), torch.randint(len(task.ordinary), ids.shape)
    shown = torch.where(wanted & (draw < 0.8), task.mask_token_id, ids)
    shown = torch.where(wanted & (draw >= 0.9), task.ordinary[index], shown)
    logits = task.model(shown, mask)
    own = F.cross_entropy(logits[wanted], ids[wanted])
    torch.testing.assert_close(loss.value, own, rtol=1e-10, atol=0)
    assert float(loss.weight) == float(wanted.sum())
    assert not task.special_V[ids[wanted]].any() and mask[wanted].all()


def test_the_same_draws_hide_the_same_tokens_as_dropout_does(source: TextFiles) -> None:
    task, batch = _task(source), source.split("train").fetch(np.arange(8))
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = [float(next(task.step(batch)).value.detach()) for _ in range(2)]
    torch.set_rng_state(state)
    again = [float(next(task.step(batch)).value.detach()) for _ in range(2)]
    assert first == again and first[0] != first[1]


def test_whole_words_are_hidden_whole(source: TextFiles) -> None:
    task, batch = _task(source, whole_words=True), source.split("train").fetch(np.arange(30))
    ids, mask = batch["input_ids"], batch["attention_mask"]
    shown, wanted = task.hide(ids, mask)
    goes_on = ~task.begins_V[ids] & mask
    assert (goes_on & wanted).any()
    assert torch.equal(wanted[:, 1:][goes_on[:, 1:]], wanted[:, :-1][goes_on[:, 1:]])
    assert (shown[wanted] == task.mask_token_id).all() and torch.equal(shown[~wanted], ids[~wanted])


def test_pseudo_perplexity_hides_each_token_once_alone(source: TextFiles) -> None:
    task, batch = _task(source, pseudo_perplexity=True).eval(), source.split("val").fetch(np.arange(3))
    ids, mask = batch["input_ids"], batch["attention_mask"]
    with torch.no_grad():
        sums = task.evaluate(batch)
        nll = 0.0
        for place in (mask[1] & ~task.special_V[ids[1]]).nonzero().flatten():
            shown = ids[1:2].clone()
            shown[0, place] = task.mask_token_id
            nll -= float(task.model(shown, mask[1:2])[0, place].log_softmax(0)[ids[1, place]])
    assert float(sums["pseudo_nll"][1]) == pytest.approx(nll, rel=1e-5)
    assert sums["pseudo_tokens"].tolist() == (mask & ~task.special_V[ids]).sum(1).tolist()
    assert "pseudo_perplexity" in task.metrics({name: value.numpy() for name, value in sums.items()})


def test_the_most_frequent_token_is_the_bar(source: TextFiles) -> None:
    task = _task(source)
    (bar,) = task.compared().values()
    assert isinstance(bar, MaskedLM)
    rows = source.split("train").fetch(np.arange(len(source.split("train"))))
    ids, mask = rows["input_ids"], rows["attention_mask"]
    ordinary = ids[mask & ~task.special_V[ids]]
    best = int(torch.bincount(ordinary).argmax())
    batch = source.split("test").fetch(np.arange(len(source.split("test"))))
    sums = bar.evaluate(batch)
    _, wanted = task.hide(batch["input_ids"], batch["attention_mask"])
    assert int(sums["hits"].sum()) == int((batch["input_ids"][wanted] == best).sum())
    assert torch.equal(sums["tokens"], task.evaluate(batch)["tokens"])  # judged at the same places


def test_samples_show_what_is_filled_in(source: TextFiles) -> None:
    samples = _task(source).shown(source)["samples"]
    assert samples and all("[MASK]" in sample["given"] for sample in samples)
    for sample in samples:
        assert len(sample["written"].split(" · ")) == len(sample["true"].split(" · "))


def test_a_vocabulary_without_a_mask_token_is_refused(source: TextFiles) -> None:
    signature = source.signature.model_copy(update={"vocabulary": Vocabulary(size=400, pad=0)})
    with pytest.raises(DataError, match="needs a token that hides others"):
        registry.build("task", "masked-lm", {}, {"model": torch.nn.Identity(), "signature": signature})


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_it_beats_the_most_frequent_token_on_real_text(tmp_path: Path, seed: int) -> None:
    for name, text in pydoc_data.topics.topics.items():
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    data = {"name": "text-files", "path": str(tmp_path), "tokenizer": "wordpiece", "vocab_size": 1000}
    data |= {"length": 16, "around": "both", "batch_size": 128}
    model = {**_BERT, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256}
    train = {"epochs": 8, "precision": "fp32", "clip": {"name": "norm", "max_norm": 1.0}}
    train |= {"optimizer": {"name": "adamw", "lr": 0.005, "weight_decay": 0.01}, "schedule": {"name": "warmup-cosine"}}
    recipe = {"name": "mlm", "seed": seed, "device": "cpu", "threads": 1, "data": data, "train": train}
    recipe |= {"model": {"name": "bert", **model, "initializer_range": 0.1}, "task": {"name": "masked-lm"}}
    run = fit(Recipe.parse(json.dumps(recipe)), tmp_path / "run", progress=False)
    models = json.loads((run.path / "scores.json").read_text())["compared"]["models"]
    own, bar = (entry["scores"]["accuracy"] for entry in models)
    assert own["low"] > bar["high"]
