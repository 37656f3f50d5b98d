"""GPT-2's bare and old names, and configurations that mean another network."""

from __future__ import annotations

import torch
from parity import relative
from parity_transformers import GPT2, VOCABULARY, reference_model, tokens

from lamplighter import models
from lamplighter.models.weights.gpt2_names import HUGGING_FACE


def test_bare_and_old_names_load_strictly() -> None:
    """The published file: no prefix, no output matrix, causal masks among the tensors."""
    reference = reference_model("GPT2LMHeadModel", "GPT2Config", **GPT2).eval()
    bare = dict(reference.transformer.state_dict())
    for layer in range(2):
        bare[f"h.{layer}.attn.bias"] = torch.ones(1, 1, 16, 16).tril()
        bare[f"h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    ids, mask = tokens()
    expected = reference(input_ids=ids, attention_mask=mask.long()).logits
    for state in (bare, {f"transformer.{name}": tensor for name, tensor in bare.items()}):
        ours = models.create("gpt2", vocab_size=VOCABULARY, **GPT2).eval()
        models.load_reference(ours, state)
        assert relative(ours(ids, mask)[mask], expected[mask]) <= 1e-5


def test_configurations_that_mean_another_network_are_found() -> None:
    assert HUGGING_FACE.unlike({"model_type": "gpt2", "scale_attn_weights": True}) is None
    assert "scale_attn_by" in str(HUGGING_FACE.unlike({"model_type": "gpt2", "scale_attn_by_inverse_layer_idx": True}))
