"""Pooling against its formulas, torch's own and timm's blur; and the facts about torch's pooling we rely on."""

from __future__ import annotations

from typing import Any

import pytest
import timm.layers
import torch
from parity import noise, randomised, relative
from torch import Tensor, nn
from torch.nn import functional as F

from lamplighter import models
from lamplighter.nn.pooling import AttentionPool, BlurPool2d, GeM, GlobalPool, masked_max, masked_mean

LENGTHS = (5, 2, 1, 0)


def rows() -> tuple[Tensor, Tensor]:
    """Four sequences, the last of padding alone, with garbage under the padding."""
    mask = torch.arange(5) < torch.tensor(LENGTHS)[:, None]
    x = noise(4, 5, 3)
    return torch.where(mask[:, :, None], x, 1e4), mask


# GeM


@pytest.mark.parametrize("p", [1.0, 2.0, 3.5])
def test_gem_is_torchs_lp_pooling_over_the_whole_map_as_a_mean(p: float) -> None:
    x = noise(2, 3, 4, 5).abs() + 0.1
    lp = F.lp_pool2d(x, p, (4, 5)).flatten(1) / 20 ** (1 / p)
    gem = GeM(p).double()
    assert relative(gem(x), lp) <= 1e-10


def test_gem_lies_between_mean_and_maximum() -> None:
    x = noise(2, 3, 4, 5).abs()
    assert relative(GeM(1.0).double()(x), x.mean((2, 3))) <= 1e-10
    assert relative(GeM(400.0).double()(x), x.amax((2, 3))) <= 1e-2
    assert (GeM(3.0)(x) > x.mean((2, 3))).all() and (GeM(3.0)(x) < x.amax((2, 3))).all()


def test_gems_exponent_learns_and_negative_inputs_have_no_nan() -> None:
    gem = GeM(3.0).double()
    x = noise(2, 3, 4, 5).requires_grad_()
    gem(x).sum().backward()
    assert gem.p.grad is not None and torch.isfinite(gem.p.grad) and gem.p.grad != 0
    assert x.grad is not None and torch.isfinite(x.grad).all()
    assert not GeM(trainable=False).p.requires_grad
    with pytest.raises(ValueError, match="at least 1"):
        GeM(0.5)


# Sequences


def test_masked_mean_and_maximum_are_those_of_the_real_positions() -> None:
    x, mask = rows()
    for row, length in enumerate(LENGTHS[:3]):
        torch.testing.assert_close(masked_mean(x, mask)[row], x[row, :length].mean(0), rtol=1e-12, atol=1e-12)
        assert torch.equal(masked_max(x, mask)[row], x[row, :length].amax(0))
    assert torch.equal(masked_mean(x, mask)[3], torch.zeros(3, dtype=x.dtype))
    assert torch.equal(masked_max(x, mask)[3], torch.zeros(3, dtype=x.dtype))
    assert torch.equal(masked_mean(x), x.mean(1)) and torch.equal(masked_max(x), x.amax(1))


def test_attention_pooling_is_its_formula() -> None:
    pool: Any = randomised(AttentionPool(3, 6).double())
    project, score = pool.project, pool.score
    x, mask = rows()
    for row, length in enumerate(LENGTHS[:3]):
        real = x[row, :length]
        hidden = torch.tanh(real @ project.weight.T + project.bias)
        scores = torch.einsum("h,lh->l", score.weight[0], hidden)
        weights = scores.exp() / scores.exp().sum()
        torch.testing.assert_close(pool(x, mask)[row], weights @ real, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(pool.weights(x, mask)[row, :length], weights, rtol=1e-10, atol=1e-12)
    assert (pool.weights(x, mask)[~mask] == 0).all()
    assert torch.equal(pool(x, mask)[3], torch.zeros(3, dtype=x.dtype))
    torch.testing.assert_close(pool(x), pool(x, torch.ones_like(mask)), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("name", ["mean", "max", "attention"])
def test_padding_gives_no_nan_in_any_number_type_neither_forward_nor_backward(name: str, dtype: torch.dtype) -> None:
    x, mask = rows()
    x = x.to(dtype).requires_grad_()
    pool = AttentionPool(3).to(dtype)
    pooled = {"mean": masked_mean, "max": masked_max, "attention": pool}[name](x, mask)
    pooled.float().sum().backward()
    assert torch.isfinite(pooled).all()
    assert x.grad is not None and torch.isfinite(x.grad).all()
    assert (x.grad[~mask] == 0).all()
    assert all(torch.isfinite(p.grad).all() for p in pool.parameters() if p.grad is not None)


# Blur


@pytest.mark.parametrize("size", [(8, 8), (7, 10), (1, 1)])
@pytest.mark.parametrize("kernel", [3, 5])
def test_blur_pooling_is_timms(size: tuple[int, int], kernel: int) -> None:
    x = noise(2, 3, *size)
    reference = timm.layers.BlurPool2d(3, filt_size=kernel, pad_mode="replicate").double()
    assert relative(BlurPool2d(kernel).double()(x), reference(x)) <= 1e-12
    assert BlurPool2d()(x).shape[2:] == tuple(-(-side // 2) for side in size)


def test_blur_takes_out_what_subsampling_would_fold() -> None:
    """The finest pattern, every second pixel, becomes its mean; plain subsampling gives 1 or 0 by where it starts."""
    stripes = torch.tensor([1.0, 0.0] * 8).expand(1, 1, 16, 16)
    inside = BlurPool2d()(stripes)[..., 1:-1, 1:-1]
    assert torch.allclose(inside, torch.tensor(0.5))
    shifted = BlurPool2d()(stripes.roll(1, -1))[..., 1:-1, 1:-1]
    assert torch.allclose(shifted, inside)
    assert not torch.equal(stripes[..., ::2], stripes.roll(1, -1)[..., ::2])
    with pytest.raises(ValueError, match="odd"):
        BlurPool2d(4)


# A map to a vector, and the network that offers the choice


def test_global_pooling_by_name() -> None:
    x = noise(2, 3, 4, 5).abs()
    assert torch.equal(GlobalPool("max", 3)(x), F.adaptive_max_pool2d(x, 1).flatten(1))
    assert relative(GlobalPool("mean", 3)(x), F.adaptive_avg_pool2d(x, 1).flatten(1)) <= 1e-12
    assert relative(GlobalPool("gem", 3).double()(x), GeM().double()(x)) == 0
    pool = GlobalPool("attention", 3).double()
    assert relative(pool(x), pool(x.flip(2, 3))) <= 1e-12, "positions have an order"
    assert pool(x).shape == (2, 3)


@pytest.mark.parametrize("pool", ["max", "gem", "attention"])
@pytest.mark.parametrize("downsample", ["max", "average", "blur"])
def test_a_cnn_with_other_pooling_trains_on_any_size(pool: str, downsample: str) -> None:
    model = models.create("cnn", in_channels=1, num_classes=3, width=4, pool=pool, downsample=downsample)
    assert isinstance(model.stages[0].down, nn.Sequential)
    for size in ((9, 12), (1, 1)):
        model.zero_grad()
        model(torch.randn(4, 1, *size, generator=torch.Generator().manual_seed(0))).sum().backward()
        assert [name for name, p in model.named_parameters() if p.grad is None] == []
    maps = model.features(torch.zeros(1, 1, 9, 12))
    assert [tuple(m.shape[2:]) for m in maps.values()] == [(9, 12), (5, 6), (3, 3)]


# torch's own pooling: what we rely on


def test_ceil_mode_keeps_the_last_odd_row() -> None:
    x = noise(1, 1, 33, 33)
    assert nn.MaxPool2d(2)(x).shape[2:] == (16, 16)
    kept = nn.MaxPool2d(2, ceil_mode=True)(x)
    assert kept.shape[2:] == (17, 17)
    assert kept[0, 0, -1, -1] == x[0, 0, -1, -1]
    averaged = nn.AvgPool2d(2, ceil_mode=True)(x)
    assert averaged[0, 0, -1, -1] == x[0, 0, -1, -1], "positions beyond the border do not count"


def test_count_include_pad_decides_what_a_corner_is_divided_by() -> None:
    ones = torch.ones(1, 1, 4, 4)
    counted = F.avg_pool2d(ones, 3, 1, 1)[0, 0]
    assert counted[0, 0].item() == pytest.approx(4 / 9) and counted[1, 1] == 1
    assert (F.avg_pool2d(ones, 3, 1, 1, count_include_pad=False) == 1).all()


def test_bins_of_adaptive_pooling_overlap() -> None:
    pooled = F.adaptive_avg_pool1d(torch.arange(7.0).view(1, 1, 7), 3)
    assert pooled.flatten().tolist() == [1, 3, 5]  # means of 0 1 2, 2 3 4, 4 5 6


@pytest.mark.parametrize("size", [(6, 6), (7, 5)])
def test_average_pooling_is_a_sum_over_unfolded_patches_and_the_maximum_one_of_them(size: tuple[int, int]) -> None:
    x = noise(2, 3, *size)
    patches = F.unfold(x, 3, padding=1, stride=2).unflatten(1, (3, 9))
    assert relative(F.avg_pool2d(x, 3, 2, 1).flatten(2), patches.mean(2)) <= 1e-12
    lowest = F.unfold(F.pad(x, (1, 1, 1, 1), value=-9.0), 3, stride=2).unflatten(1, (3, 9))
    assert torch.equal(F.max_pool2d(x, 3, 2, 1).flatten(2), lowest.amax(2))


def test_the_gradient_of_a_maximum_goes_to_where_it_was() -> None:
    x = torch.tensor([[1.0, 5.0], [3.0, 2.0]], requires_grad=True)
    F.max_pool2d(x.view(1, 1, 2, 2), 2).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [[0, 1], [0, 0]]


def test_dilation_does_not_reduce_the_size_a_stride_does() -> None:
    x = torch.zeros(1, 1, 32, 32)
    assert nn.Conv2d(1, 1, 3, padding=2, dilation=2)(x).shape[2:] == (32, 32)
    assert nn.Conv2d(1, 1, 3, stride=2, padding=1)(x).shape[2:] == (16, 16)
