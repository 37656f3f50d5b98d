"""Which way networks look, and that tasks mind it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lamplighter import models
from lamplighter.core.errors import DataError
from lamplighter.core.signature import Column, Signature, TensorSpec, Vocabulary
from lamplighter.tasks.language_model import LanguageModel
from lamplighter.tasks.looking import looks_ahead
from lamplighter.tasks.masked_lm import MaskedLM

SIZES: dict[str, Any] = {"vocab_size": 20, "pad_token_id": 0, "num_classes": 1, "head": "lm"}
SMALL: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2},
    "llama": {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
    "lstm": {"embedding_dim": 8, "hidden_size": 8},
    "tcn": {},
    "bert": {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    },
}
SIGNATURE = Signature(
    inputs=(Column(name="text", kind="text"),),
    tensors=(TensorSpec(name="input_ids", dtype="int64", shape=(None,), pad=0, longest=16),),
    targets=(Column(name="text", kind="tokens"),),
    vocabulary=Vocabulary(size=20, pad=0, mask=1),
)


@pytest.mark.parametrize(("name", "ahead"), [*((n, False) for n in SMALL if n != "bert"), ("bert", True)])
def test_decoders_look_back_and_encoders_both_ways(name: str, ahead: bool) -> None:
    model = models.create(name, **SIZES, **SMALL[name]).train()
    state = torch.get_rng_state()
    assert looks_ahead(model, 20) is ahead
    assert model.training and torch.equal(torch.get_rng_state(), state)


def test_a_language_model_that_sees_its_answer_is_refused() -> None:
    with pytest.raises(DataError, match="Bert sees the token that it is to foretell; take a model that looks back"):
        LanguageModel(models.create("bert", **SIZES, **SMALL["bert"]), SIGNATURE)


def test_a_masked_language_model_that_looks_back_only_is_told_so() -> None:
    (note,) = MaskedLM(models.create("gpt2", **SIZES, **SMALL["gpt2"]), SIGNATURE).notes
    assert "GPT2 does not look at what stands behind a hidden token" in note
    assert not MaskedLM(models.create("bert", **SIZES, **SMALL["bert"]), SIGNATURE).notes
