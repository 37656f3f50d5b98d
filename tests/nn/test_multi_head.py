"""Multi-head attention against torch's module, and what torch's cannot do against plain formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from parity import noise, randomised, relative, worst
from torch import nn

from lamplighter.nn.kv_cache import LayerCache
from lamplighter.nn.masks import causal_mask, from_lengths, padding_mask
from lamplighter.nn.multi_head import MultiHeadAttention

REAL = from_lengths(torch.tensor([5, 2]), 5)


def _torch(model: Any, x: Any, memory: Any, **keywords: Any) -> Any:
    return model(x, memory, memory, average_attn_weights=False, **keywords)


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", ["self", "causal", "padded", "cross"])
def test_equals_torchs_module(kind: str, bias: bool, weights: bool) -> None:
    reference = randomised(nn.MultiheadAttention(12, 3, bias=bias, batch_first=True).double())
    ours = MultiHeadAttention(12, 3, bias=bias).double()
    ours.load_state_dict(reference.state_dict(), strict=True)
    x, memory = noise(2, 4, 12), noise(2, 5, 12, seed=2)
    if kind == "cross":
        inputs: tuple[Any, ...] = (x, memory)
        mine = lambda m, x, y: m(x, y, padding_mask(REAL), need_weights=weights)  # noqa: E731
        theirs = lambda m, x, y: _torch(m, x, y, key_padding_mask=~REAL, need_weights=weights)  # noqa: E731
    else:
        inputs = (memory,)
        mask = padding_mask(REAL) if kind == "padded" else None
        mine = lambda m, y: m(y, mask=mask, causal=kind == "causal", need_weights=weights)  # noqa: E731
        opposite = {"padded": {"key_padding_mask": ~REAL}, "causal": {"attn_mask": ~causal_mask(5)}}.get(kind, {})
        theirs = lambda m, y: _torch(m, y, y, need_weights=weights, **opposite)  # noqa: E731
    found = worst(ours, reference, inputs, mine, theirs)
    assert max(found.values()) <= 1e-10, found
    assert len(found) == 4


@pytest.mark.parametrize(("kv_heads", "kdim"), [(4, None), (2, None), (1, None), (4, 6), (2, 6)])
def test_separate_projections_equal_one_matrix_with_repeated_heads(kv_heads: int, kdim: int | None) -> None:
    """Grouped heads are full multi-head attention whose key and value heads are repeated."""
    grouped = randomised(MultiHeadAttention(8, 4, num_kv_heads=kv_heads, kdim=kdim, fused=False).double())
    x, memory = noise(2, 3, 8), noise(2, 5, kdim or 8, seed=2)
    reference = nn.MultiheadAttention(8, 4, kdim=kdim, vdim=kdim, batch_first=True).double()
    repeat = lambda t: t.unflatten(0, (kv_heads, 2)).repeat_interleave(4 // kv_heads, 0).flatten(0, 1)  # noqa: E731
    state: Any = grouped.state_dict()
    keys, values = repeat(state["k_proj.weight"]), repeat(state["v_proj.weight"])
    biases = [state["q_proj.bias"], repeat(state["k_proj.bias"]), repeat(state["v_proj.bias"])]
    weights = [state["q_proj.weight"], keys, values]
    named = (
        {"in_proj_weight": torch.cat(weights)}
        if kdim is None
        else {f"{n}_proj_weight": w for n, w in zip("qkv", weights)}
    )
    out = {name: state[name] for name in ("out_proj.weight", "out_proj.bias")}
    reference.load_state_dict({**named, "in_proj_bias": torch.cat(biases), **out}, strict=True)
    mask = padding_mask(REAL)
    ours, found = grouped(x, memory, mask, need_weights=True)
    theirs = _torch(reference, x, memory, key_padding_mask=~REAL)
    assert relative(ours, theirs[0]) <= 1e-10 and relative(found, theirs[1]) <= 1e-10


@pytest.mark.parametrize("kv_heads", [4, 2])
@pytest.mark.parametrize("chunks", [(1, 1, 1, 1, 1, 1), (3, 1, 2), (6,), (2, 4)])
def test_a_cache_changes_nothing(kv_heads: int, chunks: tuple[int, ...]) -> None:
    attention = randomised(MultiHeadAttention(8, 4, num_kv_heads=kv_heads).double()).eval()
    x = noise(2, 6, 8)
    whole = attention(x, causal=True)[0]
    cache = LayerCache()
    parts = [attention(part, causal=True, cache=cache)[0] for part in x.split(list(chunks), 1)]
    assert relative(torch.cat(parts, 1), whole) <= 1e-12


def test_without_positions_tokens_may_be_shuffled() -> None:
    attention = randomised(MultiHeadAttention(8, 2).double()).eval()
    x, order = noise(2, 6, 8), torch.tensor([3, 0, 5, 1, 4, 2])
    assert relative(attention(x[:, order])[0], attention(x)[0][:, order]) <= 1e-12
    causal = attention(x[:, order], causal=True)[0], attention(x, causal=True)[0][:, order]
    assert relative(*causal) > 1e-2


def test_rows_do_not_see_each_other() -> None:
    attention = randomised(MultiHeadAttention(8, 2).double()).eval()
    x = noise(3, 4, 8)
    assert relative(attention(x[1:2])[0], attention(x)[0][1:2]) <= 1e-12


def test_dropout_only_in_training() -> None:
    attention = MultiHeadAttention(8, 2, dropout=0.5)
    x = torch.randn(2, 6, 8)
    assert not torch.equal(attention(x)[0], attention(x)[0])
    attention.eval()
    assert torch.equal(attention(x)[0], attention(x)[0])


def test_it_starts_as_torchs_module() -> None:
    torch.manual_seed(0)
    ours, theirs = MultiHeadAttention(64, 4), nn.MultiheadAttention(64, 4)
    for (name, mine), reference in zip(
        sorted(ours.state_dict().items()), [v for _, v in sorted(theirs.state_dict().items())]
    ):
        assert abs(float(mine.std()) - float(reference.std())) < 0.01, name


def test_numbers_that_do_not_divide_are_named() -> None:
    with pytest.raises(ValueError, match="width 10 is not divisible by 3 heads"):
        MultiHeadAttention(10, 3)
    with pytest.raises(ValueError, match="4 heads are not divisible by 3 heads for keys"):
        MultiHeadAttention(8, 4, num_kv_heads=3)
    with pytest.raises(ValueError, match="one matrix needs as many heads"):
        MultiHeadAttention(8, 4, num_kv_heads=2, fused=True)
    with pytest.raises(ValueError, match="query has width 6, embed_dim is 8"):
        MultiHeadAttention(8, 4)(torch.zeros(1, 2, 6))
