"""Llama's bare and old names, and configurations that mean another network."""

from __future__ import annotations

import torch
from parity import relative
from parity_transformers import LLAMA, VOCABULARY, reference_model, tokens

from lamplighter import models
from lamplighter.models.weights.llama_names import HUGGING_FACE


def test_bare_and_old_names_load_strictly() -> None:
    reference = reference_model("LlamaForCausalLM", "LlamaConfig", **LLAMA).eval()
    old = {**reference.state_dict(), "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(2)}
    ids, mask = tokens()
    ours = models.create("llama", vocab_size=VOCABULARY, **LLAMA).eval()
    models.load_reference(ours, old)
    assert relative(ours(ids, mask), reference(input_ids=ids, attention_mask=mask.long()).logits) < 1  # loaded at all
    bare = models.create("llama", vocab_size=VOCABULARY, head="none", **LLAMA).eval()
    models.load_reference(bare, reference.model.state_dict())
    expected = reference.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    assert relative(bare(ids, mask)[mask], expected[mask]) <= 1e-5
    assert torch.equal(bare(ids, mask), ours.hidden(ids, mask))


def test_configurations_that_mean_another_network_are_found() -> None:
    for key in ("rope_parameters", "rope_scaling"):
        assert HUGGING_FACE.unlike({"model_type": "llama", key: {"rope_type": "default", "rope_theta": 1e4}}) is None
        assert "llama3" in str(HUGGING_FACE.unlike({"model_type": "llama", key: {"rope_type": "llama3"}}))
    assert "linear" in str(HUGGING_FACE.unlike({"model_type": "llama", "rope_scaling": {"type": "linear"}}))
    assert HUGGING_FACE.unlike({"model_type": "llama", "rope_scaling": None}) is None
