"""ASPP against torchvision's, a batch of one, and how much of a rate a map can see."""

from __future__ import annotations

import pytest
import torch
from parity import noise, randomised, relative, worst
from torch import nn
from torchvision.models.segmentation import deeplabv3

from lamplighter.nn.aspp import ASPP, ImagePooling


def pair(dropout: float = 0.0) -> tuple[ASPP, nn.Module]:
    theirs = randomised(deeplabv3.ASPP(6, (2, 4, 6), 8).double())
    theirs.project[3].p = dropout
    ours = ASPP(6, (2, 4, 6), 8, dropout).double()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


def test_equals_torchvisions() -> None:
    ours, theirs = pair()
    assert len(ours.state_dict()) == 36
    found = worst(ours, theirs, (noise(2, 6, 9, 11),))
    assert max(found.values()) <= 1e-10, found


def test_has_the_published_size() -> None:
    assert len(ASPP(2048, (12, 24, 36)).state_dict()) == 36
    assert sum(p.numel() for p in ASPP(256, (6, 12, 18), 256).parameters()) == 256 * 256 * (1 + 27 + 1 + 5) + 12 * 256


def test_a_batch_of_one_image_trains_where_torchvision_raises() -> None:
    """By the running statistics, which stay; the gradient is that of the evaluation, and reaches every weight."""
    ours, theirs = pair()
    x = noise(1, 6, 9, 11)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        theirs.train()(x)
    pooling = ours.convs[-1]
    assert isinstance(pooling, ImagePooling)
    before = {name: tensor.clone() for name, tensor in pooling.state_dict().items()}
    assert relative(pooling.train()(x), pooling.eval()(x)) == 0
    ours.train()(x).sum().backward()
    assert [name for name, p in ours.named_parameters() if p.grad is None] == []
    assert pooling[1].weight.grad.abs().max() > 0  # type: ignore[union-attr,operator]
    assert all(torch.equal(tensor, before[name]) for name, tensor in pooling.state_dict().items())
    other = ours.convs[0][1]  # type: ignore[index]
    assert other.num_batches_tracked == 1, "the other branches have many positions, and learn as ever"


def test_the_mean_is_spread_over_the_map() -> None:
    pooling = randomised(ImagePooling(6, 4).double()).eval()
    out = pooling(noise(2, 6, 5, 7))
    assert out.shape == (2, 4, 5, 7)
    assert torch.equal(out, out[:, :, :1, :1].expand_as(out))


@pytest.mark.parametrize(
    ("side", "shares"), [(32, (0.77, 0.56, 0.39)), (14, (0.51, 0.18, 0.11)), (7, (0.18, 0.11, 0.11))]
)
def test_the_larger_the_rate_the_fewer_taps_are_inside_of_a_map(side: int, shares: tuple[float, ...]) -> None:
    """At a ninth only the centre is left, and the branch is a 1x1 convolution."""
    for rate, share in zip((6, 12, 18), shares):
        taps = torch.nn.functional.unfold(torch.ones(1, 1, side, side), 3, dilation=rate, padding=rate)
        assert taps.mean().item() == pytest.approx(share, abs=0.006)
