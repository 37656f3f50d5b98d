"""Samples: real beginnings, texts of the model, what is really there; the same seed writes the same."""

from __future__ import annotations

import pydoc_data.topics
from pathlib import Path

import torch

from lamplighter.core import registry
from lamplighter.data.sources.text_files import TextFiles
from lamplighter.tasks.samples import continuations


def test_samples_are_repeated_by_their_seed(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(pydoc_data.topics.topics["objects"], encoding="utf-8")
    source = TextFiles(str(tmp_path), vocab_size=300, length=24)
    torch.manual_seed(0)
    parameters = {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 24}
    model = registry.build("model", "gpt2", parameters, source.signature.facts()).train()
    found = continuations(model, source, source.tokenizer, seed=3)
    assert found == continuations(model, source, source.tokenizer, seed=3) and model.training
    assert found != continuations(model, source, source.tokenizer, seed=4)
    test = " ".join(pydoc_data.topics.topics["objects"].split())
    for sample in found:
        assert " ".join((sample["given"] + sample["true"]).split()) in test
        assert not any(name in sample["written"] for name in ("<pad>", "<s>", "<mask>"))
