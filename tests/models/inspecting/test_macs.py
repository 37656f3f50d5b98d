"""MACs by kernel: against sums by hand, against torch's own counter (twice ours), and against published numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from lamplighter.models.inspecting.macs import MacCounter, visible

Z = torch.zeros


def count(function: Callable[..., Any], *inputs: Any) -> int:
    counts: list[int] = []
    with MacCounter(counts.append), visible():
        function(*inputs)
    return sum(counts)


CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...], int]] = {
    "linear": (nn.Linear(5, 7), (Z(3, 5),), 3 * 5 * 7),
    "linear over positions": (nn.Linear(5, 7, bias=False), (Z(3, 4, 5),), 3 * 4 * 5 * 7),
    "bilinear": (lambda a, b: torch.einsum("nlh,nkh->nlk", a, b), (Z(2, 4, 3), Z(2, 5, 3)), 2 * 4 * 5 * 3),
    "matrix and vector": (torch.matmul, (Z(4, 6), Z(6)), 24),
    "conv1d": (nn.Conv1d(3, 8, 5, stride=2), (Z(2, 3, 21),), 2 * 8 * 9 * 3 * 5),
    "grouped conv": (nn.Conv2d(6, 12, 3, padding=1, groups=3), (Z(1, 6, 8, 8),), 12 * 64 * 2 * 9),
    "depthwise conv": (nn.Conv2d(6, 6, 3, padding=1, groups=6), (Z(1, 6, 8, 8),), 6 * 64 * 9),
    "transposed conv": (nn.ConvTranspose2d(6, 4, 2, stride=2), (Z(1, 6, 8, 8),), 64 * 6 * 4 * 4),
    "attention": (F.scaled_dot_product_attention, (Z(2, 3, 5, 8), Z(2, 3, 7, 8), Z(2, 3, 7, 8)), 2 * 2 * 3 * 5 * 7 * 8),
    "masked attention": (
        lambda q, m: F.scaled_dot_product_attention(q, q, q, attn_mask=m),
        (Z(1, 2, 5, 8), torch.ones(5, 5, dtype=torch.bool)),
        2 * 2 * 25 * 8,
    ),
    "multi-head attention": (
        nn.MultiheadAttention(12, 3, batch_first=True).eval(),
        (Z(2, 7, 12), Z(2, 7, 12), Z(2, 7, 12)),
        2 * 7 * 4 * 12 * 12 + 2 * 2 * 7 * 7 * 12,
    ),
    "encoder layer": (
        nn.TransformerEncoderLayer(12, 3, 20, batch_first=True).eval(),
        (Z(2, 7, 12),),
        2 * 7 * (4 * 12 * 12 + 2 * 12 * 20) + 2 * 2 * 7 * 7 * 12,
    ),
    "lstm": (
        nn.LSTM(8, 6, 2, bidirectional=True, batch_first=True),
        (Z(2, 7, 8),),
        2 * 7 * 2 * 24 * ((8 + 6) + (12 + 6)),
    ),
    "gru": (nn.GRU(8, 6), (Z(7, 2, 8),), 2 * 7 * 18 * (8 + 6)),
    "elementwise work": (lambda x: F.layer_norm((x * x + x).softmax(1), (4,)).relu(), (Z(3, 4),), 0),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("grad", [True, False])
def test_counts_by_hand(name: str, grad: bool) -> None:
    function, inputs, expected = CASES[name]
    with torch.set_grad_enabled(grad):
        assert count(function, *inputs) == expected


@pytest.mark.parametrize("name", ["linear", "conv1d", "grouped conv", "transposed conv", "gru"])
def test_torchs_flops_are_twice_the_macs(name: str) -> None:
    function, inputs, _ = CASES[name]
    with FlopCounterMode(display=False) as flops:
        function(*inputs)
    assert flops.get_total_flops() == 2 * count(function, *inputs)


@pytest.mark.parametrize(
    ("name", "giga"), [("resnet18", 1.814), ("mobilenet_v2", 0.301), ("mobilenet_v3_small", 0.0565)]
)
def test_published_numbers(name: str, giga: float) -> None:
    with torch.device("meta"):
        model = getattr(torchvision.models, name)().eval()
        assert round(count(model, Z(1, 3, 224, 224)) / 1e9, 3 if giga > 0.1 else 4) == giga


def test_the_fast_path_is_back_afterwards() -> None:
    before = torch.backends.mha.get_fastpath_enabled()
    with pytest.raises(ZeroDivisionError), visible():
        assert not torch.backends.mha.get_fastpath_enabled()
        raise ZeroDivisionError
    assert torch.backends.mha.get_fastpath_enabled() is before
