"""The Transformer's layers and stacks against torch's, pre-norm and post-norm, with padding and a causal mask."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from parity import noise, randomised, relative, worst
from torch import nn

from lamplighter.nn.kv_cache import KVCache
from lamplighter.nn.masks import causal_mask, from_lengths, padding_mask
from lamplighter.nn.transformer import (
    TransformerDecoder,
    TransformerDecoderLayer,
    TransformerEncoder,
    TransformerEncoderLayer,
)

SOURCE = from_lengths(torch.tensor([6, 3]), 6)
TARGET = from_lengths(torch.tensor([4, 5]), 5)
PADDING = padding_mask(SOURCE)


class Both(nn.Module):
    """An encoder and a decoder as ``torch.nn.Transformer`` has them."""

    def __init__(self, norm_first: bool, activation: Any = "relu", layers: int = 2) -> None:
        super().__init__()
        options = (8, 2, 12, 0.0, activation, 1e-5, norm_first)
        self.encoder = TransformerEncoder([TransformerEncoderLayer(*options) for _ in range(layers)], nn.LayerNorm(8))
        self.decoder = TransformerDecoder([TransformerDecoderLayer(*options) for _ in range(layers)], nn.LayerNorm(8))

    def forward(self, source: Any, target: Any) -> Any:
        padding = padding_mask(SOURCE)
        return self.decoder(target, self.encoder(source, padding), padding_mask(TARGET), padding)


def _theirs(norm_first: bool, activation: str = "relu") -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.Transformer(8, 2, 2, 2, 12, 0.0, activation, batch_first=True, norm_first=norm_first)


def _call_theirs(model: Any, source: Any, target: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the nested tensors of torch's fast path
        return model(
            source, target, tgt_mask=~causal_mask(5), src_key_padding_mask=~SOURCE, tgt_key_padding_mask=~TARGET,
            memory_key_padding_mask=~SOURCE,
        )  # fmt: skip


def _real(call: Any) -> Any:
    return lambda *args: call(*args) * TARGET[..., None]


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm_first", [False, True])
def test_equals_torchs_transformer(norm_first: bool, activation: str) -> None:
    reference = randomised(_theirs(norm_first, activation).double())
    ours = Both(norm_first, activation).double()
    ours.load_state_dict(reference.state_dict(), strict=True)
    inputs = noise(2, 6, 8), noise(2, 5, 8, seed=2)
    found = worst(ours, reference, inputs, _real(lambda m, s, t: m(s, t)), _real(_call_theirs))
    assert max(found.values()) <= 1e-10, found
    assert "gradients" in found and "input gradients" in found


@pytest.mark.parametrize(
    "mutate",
    [
        lambda m: [setattr(x, "eps", 1e-6) for x in m.modules() if isinstance(x, nn.LayerNorm)],
        lambda m: [setattr(x, "norm_first", True) for x in m.modules() if hasattr(x, "norm_first")],
        lambda m: setattr(m, "forward", lambda s, t: m.decoder(t, m.encoder(s), padding_mask(TARGET), PADDING)),
        lambda m: setattr(m, "forward", lambda s, t: m.decoder(t, m.encoder(s, PADDING), padding_mask(TARGET))),
        lambda m: setattr(m.decoder, "norm", None),
    ],
    ids=["eps", "norm order", "no source mask", "no memory mask", "no last norm"],
)  # fmt: skip
def test_the_comparison_sees_a_plausible_mistake(mutate: Any) -> None:
    reference = randomised(_theirs(False).double())
    ours = Both(False).double()
    ours.load_state_dict(reference.state_dict(), strict=True)
    mutate(ours)
    inputs = noise(2, 6, 8), noise(2, 5, 8, seed=2)
    assert max(worst(ours, reference, inputs, _real(lambda m, s, t: m(s, t)), _real(_call_theirs)).values()) > 1e-8


@pytest.mark.parametrize("norm_first", [False, True])
def test_dropout_acts_where_torchs_does(norm_first: bool) -> None:
    """One seed, the same masks: attention weights, inside of the feed-forward network, both results."""
    reference = randomised(nn.TransformerEncoderLayer(8, 2, 12, 0.4, batch_first=True, norm_first=norm_first))
    ours = TransformerEncoderLayer(8, 2, 12, 0.4, norm_first=norm_first)
    ours.load_state_dict(reference.state_dict(), strict=True)
    x = torch.randn(1, 5, 8)  # torch's module lays out larger batches otherwise and draws in another order
    found = []
    for model in (ours, reference):
        torch.manual_seed(3)
        found.append(model.train()(x))
    assert relative(found[0], found[1]) <= 1e-5
    assert relative(ours.eval()(x), found[0]) > 1e-2


def test_the_past_does_not_change_with_the_future() -> None:
    model = randomised(Both(True)).eval()
    source, target = torch.randn(2, 6, 8), torch.randn(2, 5, 8)
    before = model(source, target)
    target[:, 3:] = torch.randn(2, 2, 8)
    after = model(source, target)
    assert torch.equal(before[:, :3], after[:, :3]) and not torch.allclose(before[:, 3:], after[:, 3:])


def test_a_cache_changes_nothing() -> None:
    decoder = randomised(Both(True).double()).eval().decoder
    memory, target = noise(2, 6, 8), noise(2, 5, 8, seed=2)
    whole = decoder(target, memory)
    cache = KVCache(2)
    steps = [decoder(target[:, i : i + 1], memory, cache=cache) for i in range(5)]
    assert relative(torch.cat(steps, 1), whole) <= 1e-12


def test_an_encoder_without_positions_is_equivariant() -> None:
    encoder = randomised(Both(False).double()).eval().encoder
    x, order = noise(2, 6, 8), torch.tensor([5, 2, 0, 1, 4, 3])
    assert relative(encoder(x[:, order]), encoder(x)[:, order]) <= 1e-12
