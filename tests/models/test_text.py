"""Heads, activations and initial weights that all text models share."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from parity_transformers import BERT, GPT2, LLAMA
from torch import nn
from transformers.activations import ACT2FN

from lamplighter import models
from lamplighter.core.errors import LamplighterError
from lamplighter.models.text import HiddenAct, activation_name, check_head
from lamplighter.nn.activation import activation


@pytest.mark.parametrize("name", HiddenAct.__args__)
def test_activations_are_hugging_faces_of_that_name(name: Any) -> None:
    x = torch.linspace(-4, 4, 101, dtype=torch.float64)
    torch.testing.assert_close(activation(activation_name(name))(x), ACT2FN[name](x), rtol=1e-12, atol=1e-12)


def test_a_missing_head_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        LamplighterError, match="model 'gpt2' has no head 'tagger'; its heads are: lm, classifier, none"
    ):
        models.create("gpt2", vocab_size=9, head="tagger", **GPT2)
    check_head("m", "lm", ("lm",))


@pytest.mark.parametrize(("name", "keywords"), [("bert", BERT), ("gpt2", GPT2), ("llama", LLAMA)])
def test_initial_weights_have_the_asked_spread(name: str, keywords: dict[str, Any]) -> None:
    torch.manual_seed(0)
    wide = {**keywords, ("n_embd" if name == "gpt2" else "hidden_size"): 240}
    model = models.create(name, vocab_size=400, pad_token_id=3, head="lm", initializer_range=0.05, **wide)
    for key, parameter in model.named_parameters():
        if "bias" in key:
            assert not parameter.any(), key
        elif "norm" in key.lower() or "ln_" in key:
            assert (parameter == 1).all(), key
        else:
            shrunk = math.sqrt(1 / 4) if key.endswith("c_proj.weight") else 1  # 1 / sqrt(2 n_layer)
            spread = float(parameter.detach().std()) / (0.05 * shrunk)
            assert abs(spread - 1) < 5 / math.sqrt(2 * parameter.numel()) + (0.01 if "embed" in key else 0), key
    embedding = next(module for module in model.modules() if isinstance(module, nn.Embedding))
    assert bool(embedding.weight[3].any()) == (name == "gpt2"), "GPT-2 has no padding token"
