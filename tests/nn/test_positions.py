"""Positional encodings against their formulas in high precision, and against Hugging Face's code."""

from __future__ import annotations

import cmath
import math

import pytest
import torch
from parity import noise, relative
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from lamplighter.core.errors import InputError
from lamplighter.nn.positions import LearnedPositions, RotaryPositions, SinusoidalPositions, alibi, rotate, sinusoidal


@pytest.mark.parametrize("width", [2, 5, 8, 9])
def test_sinusoidal_is_its_formula(width: int) -> None:
    table = sinusoidal(11, width)
    for p in range(11):
        for column in range(width):
            angle = p / 10_000 ** (2 * (column // 2) / width)
            assert abs(float(table[p, column]) - (math.cos if column % 2 else math.sin)(angle)) < 1e-14


def test_sinusoidal_is_right_at_far_positions() -> None:
    """8192 x 512: computed in float32 the same table is off by 5e-4."""
    module = SinusoidalPositions(512, 8192)
    found = module(torch.zeros(1, 8192, 512))[0]
    assert found.dtype == torch.float32
    exact = torch.tensor([[math.sin(p / 10_000 ** (2 * i / 512)) for i in (0, 3, 100, 255)] for p in (8000, 8191)])
    assert (found[[8000, 8191]][:, [0, 6, 200, 510]] - exact).abs().max() < 1e-7
    angles = torch.arange(8192.0)[:, None] * 10_000.0 ** (-torch.arange(0, 512, 2.0) / 512)
    assert (angles.sin().double() - sinusoidal(8192, 512)[:, 0::2]).abs().max() > 1e-4


def test_sinusoidal_keeps_its_precision_when_moved() -> None:
    module = SinusoidalPositions(6, 50)
    assert torch.equal(module.half().double().table, sinusoidal(50, 6))
    assert torch.equal(module.half().table, sinusoidal(50, 6).half())
    assert not module.state_dict()
    x = torch.zeros(1, 3, 6, dtype=torch.float64)
    assert torch.equal(module.double()(x, offset=4)[0], sinusoidal(7, 6)[4:])


def test_rotary_turns_complex_numbers() -> None:
    """The pair (i, i + D/2) is a complex number, multiplied by e^(i p theta^(-2i/D))."""
    x = noise(1, 2, 5, 6)
    positions = torch.tensor([[0, 1, 2, 40, 1000]])
    found = rotate(x, *RotaryPositions(6, 500.0)(positions, torch.float64))
    for h in range(2):
        for row, p in enumerate(positions[0].tolist()):
            for i in range(3):
                turned = complex(x[0, h, row, i], x[0, h, row, i + 3]) * cmath.exp(1j * p * 500.0 ** (-2 * i / 6))
                assert abs(complex(found[0, h, row, i], found[0, h, row, i + 3]) - turned) < 1e-12


def test_rotary_equals_hugging_face() -> None:
    q, k = noise(2, 4, 7, 8), noise(2, 2, 7, 8, seed=2)
    cos, sin = RotaryPositions(8)(torch.arange(7).expand(2, 7), torch.float64)
    theirs = apply_rotary_pos_emb(q, k, cos[:, 0], sin[:, 0])
    assert relative(rotate(q, cos, sin), theirs[0]) <= 1e-12
    assert relative(rotate(k, cos, sin), theirs[1]) <= 1e-12


def test_rotary_scores_depend_on_distances_only() -> None:
    q, k = noise(1, 1, 1, 8).expand(1, 1, 4, 8), noise(1, 1, 1, 8, seed=2).expand(1, 1, 4, 8)
    rotary = RotaryPositions(8)
    for shift in (1, 17, 5000):
        scores = [
            rotate(q, *rotary(p, torch.float64)) @ rotate(k, *rotary(p, torch.float64)).mT
            for p in (torch.arange(4)[None], torch.arange(4)[None] + shift)
        ]
        assert relative(scores[1], scores[0]) <= 1e-10
        assert abs(scores[0][0, 0, 0, 1] - scores[0][0, 0, 0, 3]) > 1e-3


@pytest.mark.parametrize("kind", ["half", "bfloat16", "float"])
def test_rotary_angles_stay_exact_in_a_model_of_any_type(kind: str) -> None:
    module = getattr(RotaryPositions(8), kind)()
    cos, _ = module(torch.tensor([[100_000]]), torch.float64)
    assert abs(float(cos[0, 0, 0, 1]) - math.cos(100_000 * 10_000 ** (-2 / 8))) < 1e-9
    assert not module.state_dict()


@pytest.mark.parametrize("heads", [1, 2, 4, 8, 6, 12, 20])
def test_alibi_equals_blooms(heads: int) -> None:
    """Bloom's bias is that of the last query up to a constant, which the softmax does not see."""
    theirs = build_alibi_tensor(torch.ones(1, 7), heads, torch.float32).view(heads, 7)
    ours = alibi(heads, 1, 7)[0, :, 0]
    assert torch.allclose(ours - ours[:, :1], theirs, atol=1e-6)


def test_alibi_counts_from_the_last_key_and_both_ways() -> None:
    bias = alibi(2, 2, 4)[0]
    assert torch.equal(bias[0] * -16, torch.tensor([[2.0, 1.0, 0.0, 1.0], [3.0, 2.0, 1.0, 0.0]]))
    assert torch.equal(bias[1] * -256, bias[0] * -16)


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match="head_dim 5 is odd"):
        RotaryPositions(5)
    with pytest.raises(InputError, match=r"SinusoidalPositions: a sequence of 5 tokens .* 4 positions .*max_length"):
        SinusoidalPositions(8, 4)(torch.zeros(1, 3, 8), offset=2)
    with pytest.raises(
        InputError, match=r"bert: a sequence of 9 tokens is longer than the 8 .*max_position_embeddings"
    ):
        LearnedPositions(8, 4, "max_position_embeddings").check(9, "bert")
