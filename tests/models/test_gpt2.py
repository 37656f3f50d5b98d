"""GPT-2 beyond parity: sizes of the published models and the transposed layers."""

from __future__ import annotations

import torch
from torch.nn import functional as F
from transformers.pytorch_utils import Conv1D as TheirConv1D

from lamplighter import models
from lamplighter.models.gpt2 import Conv1D


def test_conv1d_is_a_transposed_linear_layer() -> None:
    ours, theirs = Conv1D(5, 3), TheirConv1D(3, 5)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    ours.bias.data.normal_()
    x = torch.randn(2, 4, 5)
    torch.testing.assert_close(ours(x), F.linear(x, ours.weight.T, ours.bias))


def test_medium_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        model = models.create("gpt2", vocab_size=50257, n_embd=1024, n_layer=24, n_head=16)
    assert sum(parameter.numel() for parameter in model.parameters()) == 354_823_168


def test_n_inner_is_a_setting() -> None:
    model = models.create("gpt2", vocab_size=9, n_embd=8, n_layer=1, n_head=2, n_inner=20)
    assert model.transformer.h[0].mlp.c_fc.weight.shape == (8, 20)
