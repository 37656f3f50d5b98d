"""Runs of tasks whose loss is a mean over tokens: small batches, accumulated, are the large one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from lamplighter.core.recipe import Recipe
from lamplighter.run import fit

_NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
_GPT2 = {"name": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64, **_NO_DROPOUT}
_ATTENTION = {"name": "seq2seq", "embedding_dim": 8, "hidden_size": 16}


def _data(folder: Path, task: str) -> dict[str, Any]:
    """Rows of very different lengths: a mean of the means of small batches is another number."""
    if task == "seq2seq":
        return {"name": "reversal", "rows": 80, "shortest": 1, "longest": 12, "symbols": 5}
    rng = np.random.default_rng(0)
    for number in range(80):
        words = rng.choice(["one", "two", "three", "four"], 2 + 40 * (number % 4 == 0))
        (folder / f"{number:02}.txt").write_text(" ".join(words))
    data = {"name": "text-files", "path": str(folder), "tokenizer": "words", "vocab_size": 20, "length": 64}
    return {**data, "join": False}


@pytest.mark.parametrize(("task", "model"), [("language-model", _GPT2), ("seq2seq", _ATTENTION)])
def test_four_small_batches_accumulated_are_the_large_one(tmp_path: Path, task: str, model: dict[str, Any]) -> None:
    (tmp_path / "texts").mkdir()
    data = _data(tmp_path / "texts", task)
    found = []
    for accumulate, batch_size in ((1, 64), (4, 16)):
        train = {"epochs": 3, "accumulate": accumulate, "precision": "fp32", "optimizer": {"name": "sgd", "lr": 0.2}}
        recipe = {"name": "tokens", "device": "cpu", "threads": 1, "task": {"name": task}, "model": model}
        recipe |= {"data": {**data, "batch_size": batch_size}, "train": train}
        run = fit(Recipe.parse(json.dumps(recipe)), tmp_path / str(accumulate), progress=False)
        diary = [record for record in run.history if record["event"] == "epoch"]
        found.append((load_file(run.path / "checkpoints" / "last" / "model.safetensors"), diary))
    (large, diary_large), (small, diary_small) = found
    assert len(diary_large) == len(diary_small) == 3
    for name in large:
        np.testing.assert_allclose(small[name], large[name], atol=1e-6, err_msg=name)
    for one, other in zip(diary_large, diary_small):
        assert other["step"] == one["step"]
        assert other["train/loss"] == pytest.approx(one["train/loss"], rel=1e-6)
        assert other["val/loss"] == pytest.approx(one["val/loss"], rel=1e-6)
