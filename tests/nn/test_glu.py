"""Gated linear units against torch's GLU, their formulas, and the feed-forward network of Llama."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from parity import noise, randomised, relative
from torch import Tensor, nn

from lamplighter.nn.glu import GLU, GatedFeedForward, GLUName

ACTS = {
    "glu": lambda g: 1 / (1 + torch.exp(-g)),
    "swiglu": lambda g: g / (1 + torch.exp(-g)),
    "geglu": lambda g: g * 0.5 * (1 + torch.erf(g / math.sqrt(2))),
    "reglu": lambda g: torch.where(g > 0, g, torch.zeros_like(g)),
}


@pytest.mark.parametrize("name", get_args(GLUName))
def test_is_its_formula_and_its_gradient(name: GLUName) -> None:
    x = 4 * noise(3, 5, 8)
    value, gate = x[..., :4], x[..., 4:]
    torch.testing.assert_close(GLU(name)(x), value * ACTS[name](gate), rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(GLU(name), (noise(3, 6).requires_grad_(),))


def test_glu_is_torchs() -> None:
    x = noise(7, 10)
    assert relative(GLU("glu")(x), nn.GLU()(x)) < 1e-15


def test_an_odd_width_is_refused() -> None:
    with pytest.raises(ValueError, match=r"GLU\('geglu'\): the last dimension must be even.*it is 5"):
        GLU("geglu")(torch.zeros(2, 5))


def test_the_feed_forward_network_is_llamas() -> None:
    modeling = pytest.importorskip("transformers.models.llama.modeling_llama")
    configuration = pytest.importorskip("transformers.models.llama.configuration_llama")
    config = configuration.LlamaConfig(hidden_size=12, intermediate_size=20, mlp_bias=True, num_attention_heads=4)
    theirs = randomised(modeling.LlamaMLP(config).double())
    ours = GatedFeedForward(12, 20, bias=True).double()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = noise(2, 5, 12)
    assert relative(ours(x), theirs(x)) < 1e-12
    swapped: Tensor = ours.down_proj(ours.act_fn(ours.up_proj(x)) * ours.gate_proj(x))
    assert relative(swapped, theirs(x)) > 1e-3
