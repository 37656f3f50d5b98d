"""Samples of a masked language model: what is hidden, what stands there, and what the model puts there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lamplighter.core import registry
from lamplighter.data.sources.text_files import TextFiles
from lamplighter.tasks.fillings import SAMPLES, TOKENS, fillings

_WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


class _Always(nn.Module):
    """Finds one token everywhere."""

    def __init__(self, vocab_size: int, token: int) -> None:
        super().__init__()
        self.size, self.token = vocab_size, token
        self.seen: list[Tensor] = []

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        self.seen.append(input_ids)
        assert not self.training
        return nn.functional.one_hot(torch.full_like(input_ids, self.token), self.size).float()


def test_what_is_hidden_and_what_is_filled_in(tmp_path: Path) -> None:
    text = "\n\n".join(" ".join(_WORDS[(i * i + j * 3) % 10] for j in range(9)) for i in range(400))
    (tmp_path / "text.txt").write_text(text)
    source = TextFiles(str(tmp_path), tokenizer="wordpiece", vocab_size=80, length=100, around="both")
    vocabulary = source.signature.vocabulary
    assert vocabulary is not None
    model = _Always(vocabulary.size, source.tokenizer.tokenizer.token_to_id("six"))
    facts: dict[str, Any] = {**source.signature.facts(), "tokenizer": source.tokenizer, "model": model}
    task = registry.build("task", "masked-lm", {}, facts).train()
    model.seen.clear()  # the task has tried out which way the model looks
    samples = fillings(task, source)
    assert task.training and len(samples) == SAMPLES == len(model.seen)
    for sample, ids in zip(samples, model.seen):
        assert ids.shape == (1, TOKENS)
        given, true, written = sample["given"].split(), sample["true"].split(" · "), sample["written"].split(" · ")
        assert given.count("[MASK]") == int((ids == vocabulary.mask).sum()) == len(true) == len(written)
        assert set(written) == {"six"}
        words = iter(true)
        whole = [next(words) if word == "[MASK]" else word for word in given]
        assert " ".join(whole) in " ".join(text.split())  # the true words stand in the order of their places
