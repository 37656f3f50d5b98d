"""Attention against torch's kernel and against a sum written out, over masks, grouped heads and lengths."""

from __future__ import annotations

import math

import pytest
import torch
from parity import noise, relative
from torch import Tensor
from torch.nn import functional as F

from lamplighter.nn.attention import attend, attend_with_weights, recorded_weights
from lamplighter.nn.masks import causal_mask, from_lengths, padding_mask
from lamplighter.nn.positions import alibi

MASKS = ("none", "causal", "padding", "causal+padding", "window", "per head")


def _mask(kind: str, queries: int, keys: int) -> tuple[Tensor | None, bool]:
    real = padding_mask(from_lengths(torch.tensor([keys, keys - 2]), keys))
    if kind == "window":
        return causal_mask(queries, keys, window=2), False
    if kind == "per head":
        return torch.rand(2, 4, queries, keys, generator=torch.Generator().manual_seed(0)) > 0.4, False
    return (real if "padding" in kind else None), "causal" in kind


def _full(mask: Tensor | None, causal: bool, queries: int, keys: int) -> Tensor:
    full = torch.ones(2, 4, queries, keys, dtype=torch.bool)
    full = full if mask is None else full & mask
    return full & causal_mask(queries, keys) if causal else full


def by_hand(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor) -> Tensor:
    """Query by query, over the allowed keys alone."""
    rows = []
    for n in range(q.shape[0]):
        for h in range(q.shape[1]):
            kv = h // (q.shape[1] // k.shape[1])
            for i in range(q.shape[2]):
                seen = allowed[n, h, i]
                scores = torch.einsum("d,kd->k", q[n, h, i], k[n, kv][seen]) / math.sqrt(q.shape[-1])
                weights = scores.exp() / scores.exp().sum()
                rows.append(torch.einsum("k,kd->d", weights, v[n, kv][seen]))
    return torch.stack(rows).view(*q.shape[:3], v.shape[-1])


@pytest.mark.parametrize("lengths", [(5, 5), (3, 6), (1, 6)])
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize("kind", MASKS)
def test_equals_the_sum_written_out_and_torchs_kernel(kind: str, kv_heads: int, lengths: tuple[int, int]) -> None:
    queries, keys = lengths
    mask, causal = _mask(kind, queries, keys)
    allowed = _full(mask, causal, queries, keys)
    inputs = noise(2, 4, queries, 3), noise(2, kv_heads, keys, 3, seed=2), noise(2, kv_heads, keys, 5, seed=3)
    results = []
    for path in ("fused", "weights", "hand", "torch"):
        q, k, v = (x.clone().requires_grad_() for x in inputs)
        if path == "fused":
            output = attend(q, k, v, mask, causal=causal)
        elif path == "weights":
            output, weights = attend_with_weights(q, k, v, mask, causal=causal)
            seen = allowed.any(-1)
            assert torch.allclose(weights.sum(-1)[seen], torch.ones(1, dtype=torch.float64), atol=1e-12)
            assert not weights[~allowed].any()
        elif path == "hand":
            output = by_hand(q, k, v, allowed)
        else:
            repeated = (x.repeat_interleave(4 // kv_heads, 1) for x in (k, v))
            output = F.scaled_dot_product_attention(q, *repeated, attn_mask=allowed)
        (output * noise(*output.shape, seed=4)).sum().backward()
        results.append((output, q.grad, k.grad, v.grad))
    for other in results[1:]:
        for ours, theirs in zip(results[0], other):
            assert relative(ours, theirs) <= 1e-10  # type: ignore[arg-type]


def test_a_query_that_may_look_at_nothing_gives_zeros_and_no_gradient() -> None:
    q, k, v = (noise(1, 2, 3, 4, seed=seed).requires_grad_() for seed in range(3))
    mask = torch.tensor([[True, False, False], [False, False, False], [True, True, True]])
    for output in (
        attend(q, k, v, mask),
        attend_with_weights(q, k, v, mask)[0],
        attend(q, k, v, mask, bias=alibi(2, 3)),
    ):
        assert not output[:, :, 1].any()
        grads = torch.autograd.grad(output.sum(), (q, k, v))
        assert all(torch.isfinite(grad).all() for grad in grads)
        assert not grads[0][:, :, 1].any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_masks_stay_finite_in_half_precision(dtype: torch.dtype) -> None:
    q, k, v = ((30 * noise(2, 2, 4, 8, seed=seed)).to(dtype).requires_grad_() for seed in range(3))
    mask = padding_mask(torch.tensor([[True, False, False, False], [False, False, False, False]]))
    for output in (attend(q, k, v, mask, causal=True), attend_with_weights(q, k, v, mask, causal=True)[0]):
        assert output.dtype == dtype and torch.isfinite(output).all()
        assert all(torch.isfinite(grad).all() for grad in torch.autograd.grad(output.float().sum(), (q, k, v)))
        assert not output[1].any() and torch.allclose(output[0], v[0, :, :1].expand(-1, 4, -1))


@pytest.mark.parametrize("kind", ["none", "causal", "padding"])
def test_a_bias_is_added_to_the_scores(kind: str) -> None:
    mask, causal = _mask(kind, 4, 6)
    q, k, v = noise(2, 4, 4, 3), noise(2, 2, 6, 3, seed=2), noise(2, 2, 6, 3, seed=3)
    bias = alibi(4, 4, 6).double()
    scores = torch.einsum("nhqd,nhkd->nhqk", q, k.repeat_interleave(2, 1)) / math.sqrt(3) + bias
    weights = scores.masked_fill(~_full(mask, causal, 4, 6), -math.inf).softmax(-1)
    expected = torch.einsum("nhqk,nhkd->nhqd", weights, v.repeat_interleave(2, 1))
    assert relative(attend(q, k, v, mask, causal=causal, bias=bias), expected) <= 1e-10
    assert relative(attend_with_weights(q, k, v, mask, causal=causal, bias=bias)[0], expected) <= 1e-10


def test_the_past_does_not_change_with_the_future() -> None:
    q, k, v = (torch.randn(1, 2, 6, 4) for _ in range(3))
    before = attend(q, k, v, causal=True)
    for tensor in (q, k, v):
        tensor[:, :, 4:] = torch.randn(1, 2, 2, 4)
    after = attend(q, k, v, causal=True)
    assert torch.equal(before[:, :, :4], after[:, :, :4])
    assert not torch.allclose(before[:, :, 4:], after[:, :, 4:])


def test_the_scale_is_that_of_the_heads_width() -> None:
    q, k, v = (noise(1, 1, 3, 16, seed=seed) for seed in range(3))
    assert relative(attend(q, k, v, scale=0.25), attend(q, k, v)) <= 1e-12
    assert relative(attend(q, k, v, scale=0.5), attend(2 * q, k, v)) <= 1e-12


def test_dropout_keeps_the_expected_value() -> None:
    torch.manual_seed(0)
    q, k, v = torch.zeros(1, 1, 1, 4), torch.zeros(1, 1, 8, 4), torch.arange(8.0).view(1, 1, 8, 1).expand(-1, -1, -1, 4)
    for function in (attend, lambda *args, **kw: attend_with_weights(*args, **kw)[0]):
        drawn = torch.stack([function(q, k, v, dropout=0.5)[0, 0, 0, 0] for _ in range(4000)])
        assert drawn.std() > 0.5
        assert abs(float(drawn.mean()) - 3.5) < 5 * float(drawn.std()) / 4000**0.5


def test_weights_are_recorded_from_outside() -> None:
    q, k, v = (noise(2, 3, 4, 5, seed=seed) for seed in range(3))
    plain = attend(q, k, v, causal=True)
    with recorded_weights() as maps:
        recorded = attend(q, k, v, causal=True)
        attend(q, k, v)
    attend(q, k, v)
    assert len(maps) == 2 and relative(recorded, plain) <= 1e-12
    assert torch.equal(maps[0], attend_with_weights(q, k, v, causal=True)[1])


def test_bad_shapes_are_named() -> None:
    q = torch.zeros(1, 4, 2, 8)
    for function in (attend, attend_with_weights):
        with pytest.raises(ValueError, match="4 query heads cannot share 3 key heads"):
            function(q, q[:, :3], q[:, :3])
        with pytest.raises(ValueError, match=r"torch\.float32; masks are boolean"):
            function(q, q, q, torch.ones(2, 2))
        with pytest.raises(ValueError, match=r"mask is \(1, 2, 2\)"):
            function(q, q, q, torch.ones(1, 2, 2, dtype=torch.bool))
