"""Dropout in all its kinds: shares within the binomial band, edge cases, seeds, the mean kept."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor, nn

from lamplighter.nn.dropout import DropBlock2d, StochasticDepth, stochastic_depth_rates


def seeded(module: nn.Module, x: Tensor, seed: int = 0) -> Tensor:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        dropped: Tensor = module(x)
    return dropped


def six_sigma(p: float, n: int) -> float:
    return 6 * (p * (1 - p) / n) ** 0.5


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_single_numbers_and_whole_channels(p: float) -> None:
    numbers = seeded(nn.Dropout(p), torch.ones(1_000_000))
    assert abs(float((numbers == 0).double().mean()) - p) < six_sigma(p, 1_000_000)
    assert set(numbers.unique().tolist()) == {0.0, float(torch.tensor(1.0) / (1 - p))}
    channels = seeded(nn.Dropout2d(p), torch.ones(1000, 20, 3, 3))
    assert torch.equal(channels.amin((2, 3)), channels.amax((2, 3)))
    assert abs(float((channels[:, :, 0, 0] == 0).double().mean()) - p) < six_sigma(p, 20_000)


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_stochastic_depth_drops_rows(p: float) -> None:
    x = torch.ones(20_000, 2, 3)
    rows = seeded(StochasticDepth(p), x)
    assert torch.equal(rows.amin((1, 2)), rows.amax((1, 2)))
    dropped = rows[:, 0, 0] == 0
    assert abs(float(dropped.double().mean()) - p) < six_sigma(p, 20_000)
    torch.testing.assert_close(rows[~dropped], x[~dropped] / (1 - p))
    theirs = torchvision.ops.StochasticDepth(p, mode="row")
    assert torch.equal(seeded(theirs, x[:50]), seeded(StochasticDepth(p), x[:50]))


@pytest.mark.parametrize(("p", "size"), [(0.1, 3), (0.25, 5), (0.1, 7)])
def test_drop_block_drops_blocks(p: float, size: int) -> None:
    mask = seeded(_Mask(p, size), torch.zeros(400, 4, 28, 28))
    share = float(mask.mean())
    assert share < p * 1.02
    assert share > 0.75 * p  # blocks that overlap make it smaller than p
    corner = mask[0, 0].nonzero()[0].tolist()  # the first row with a 1 begins a block
    assert mask[0, 0, corner[0] : corner[0] + size, corner[1] : corner[1] + size].all()


def test_drop_block_keeps_the_mean_and_equals_torchvisions() -> None:
    x = torch.rand(8, 6, 20, 20, generator=torch.Generator().manual_seed(1)) + 1
    dropped = seeded(DropBlock2d(0.2, 5), x)
    assert abs(float(dropped.mean() / x.mean()) - 1) < 0.02
    theirs = seeded(torchvision.ops.DropBlock2d(0.2, 5, eps=0.0), x)
    torch.testing.assert_close(dropped, theirs)


def test_a_block_larger_than_the_map_drops_all_of_it() -> None:
    maps = seeded(_Mask(0.3, 9), torch.zeros(500, 10, 4, 4)).flatten(2)
    assert torch.equal(maps.amin(2), maps.amax(2))
    assert abs(float(maps.mean()) - 0.3) < six_sigma(0.3, 5000)


class _Mask(nn.Module):
    """The mask itself."""

    def __init__(self, p: float, size: int) -> None:
        super().__init__()
        self.block = DropBlock2d(p, size)

    def forward(self, x: Tensor) -> Tensor:
        return self.block.dropped(x)


KINDS = [nn.Dropout, nn.Dropout2d, StochasticDepth, lambda p: DropBlock2d(p, 3)]


@pytest.mark.parametrize("kind", KINDS)
def test_edges_modes_and_seeds(kind: type[nn.Dropout]) -> None:
    x = torch.randn(6, 5, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.equal(kind(0.0)(x), x)
    nothing = kind(1.0)(x)
    assert torch.equal(nothing, torch.zeros_like(x))
    nothing.sum().backward()
    assert x.grad is not None and not x.grad.any()
    half = kind(0.5)
    assert half.eval()(x) is x or torch.equal(half(x), x)
    half.train()
    assert torch.equal(seeded(half, x), seeded(half, x))
    assert not torch.equal(seeded(half, x), seeded(half, x, seed=1))


def test_the_share_is_that_of_the_expectation_only() -> None:
    """Topic 9: of 20 cells "about half" may be three."""
    shares = ((seeded(nn.Dropout(0.5), torch.ones(1000, 20)) == 0).double().mean(1)).tolist()
    assert min(shares) <= 0.2 and max(shares) >= 0.8
    assert abs(sum(shares) / 1000 - 0.5) < six_sigma(0.5, 20_000)


def test_rates_rise_evenly_to_the_last_block() -> None:
    assert stochastic_depth_rates(0.5, 5) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert stochastic_depth_rates(0.0, 3) == [0.0, 0.0, 0.0]


def test_what_is_no_probability_is_refused() -> None:
    for p in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="0 to 1"):
            StochasticDepth(p)
        with pytest.raises(ValueError, match="0 to 1"):
            DropBlock2d(p)
    with pytest.raises(ValueError, match="block_size"):
        DropBlock2d(0.1, 0)
    with pytest.raises(ValueError, match=r"feature maps \(N, C, H, W\), not shape \(3, 4\)"):
        DropBlock2d(0.1)(torch.zeros(3, 4))
