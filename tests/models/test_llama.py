"""Llama beyond parity: transformers' own arithmetic in float32, sizes, and positions that are exact in any type."""

from __future__ import annotations

import torch
from parity import randomised, relative
from parity_transformers import LLAMA, VOCABULARY, reference_model, tokens

from lamplighter import models


def test_equals_transformers_own_arithmetic_to_float32() -> None:
    """The parity matrix replaces its float32 angles and norms by exact ones; here they are as they come."""
    reference = randomised(reference_model("LlamaForCausalLM", "LlamaConfig", exact=False, **LLAMA)).eval()
    ours = models.create("llama", vocab_size=VOCABULARY, **LLAMA).eval()
    models.load_reference(ours, reference.state_dict())
    ids, mask = tokens()
    expected = reference(input_ids=ids, attention_mask=mask.long()).logits
    assert relative(ours(ids, mask)[mask], expected[mask]) <= 1e-5


def test_7b_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        model = models.create("llama", vocab_size=32000)
    assert sum(parameter.numel() for parameter in model.parameters()) == 6_738_415_616


def test_positions_in_bfloat16_are_told_apart() -> None:
    """Rounded to bfloat16 before the cosine, positions 256 and 257 would be one."""
    model = models.create("llama", vocab_size=VOCABULARY, **{**LLAMA, "max_position_embeddings": 600}).bfloat16()
    cos, sin = model.rotary(torch.tensor([[256, 257]]), torch.float64)
    turned = torch.atan2(sin[0, 0, :, 0], cos[0, 0, :, 0])
    assert abs(float((turned[1] - turned[0]) % (2 * torch.pi)) - 1) < 1e-9
