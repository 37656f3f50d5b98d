"""Cross-entropy and Dice together, against torch's cross-entropy and the formula of Dice written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lamplighter.losses.dice_ce import DiceCE, dice_ce


def images(channels: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(5, channels, 4, 6, dtype=torch.float64, generator=generator)
    target = torch.randint(0, max(channels, 2), (5, 4, 6), generator=generator)
    target[0, 0, :3] = target[2, :, 4] = -1
    return logits.requires_grad_(), target


def reference(logits: Tensor, target: Tensor, dice: float, smooth: float, weights: Tensor | None) -> Tensor:
    """Image by image, only pixels that count, by torch's own losses."""
    losses = []
    for image, truth in zip(logits, target):
        valid = truth >= 0
        z, t = image[:, valid].T, truth[valid]
        if z.shape[1] == 1:
            own = None if weights is None else weights[t]
            each = F.binary_cross_entropy_with_logits(z[:, 0], t.double(), own, reduction="sum")
            surprise = each / (len(t) if own is None else own.sum())
            p, hot = z.sigmoid(), t[:, None].double()
        else:
            surprise = F.cross_entropy(z, t, weights)
            p, hot = z.softmax(1), F.one_hot(t, z.shape[1]).double()
        overlap = (2 * (p * hot).sum(0) + smooth) / (p.sum(0) + hot.sum(0) + smooth)
        losses.append(surprise + dice * (1 - overlap.mean()))
    return torch.stack(losses).mean()


@pytest.mark.parametrize("channels", [1, 2, 4])
@pytest.mark.parametrize("weighted", [False, True])
def test_value_and_gradient_equal_torchs_losses_added_up(channels: int, weighted: bool) -> None:
    logits, target = images(channels)
    weights = torch.tensor([0.3, 2.0, 1.0, 5.0], dtype=torch.float64)[: max(channels, 2)] if weighted else None
    criterion = DiceCE(dice=0.7, smooth=0.5, class_weights=None if weights is None else weights.tolist()).double()
    value, weight = criterion(logits, target)
    wanted = reference(logits, target, 0.7, 0.5, weights)
    assert weight == 5
    np.testing.assert_allclose(value.item(), wanted.item(), rtol=1e-7 if weighted else 1e-12)  # weights are float32
    [own] = torch.autograd.grad(dice_ce(logits, target, 0.7, 0.5, class_weights_K=weights), logits)
    [theirs] = torch.autograd.grad(wanted, logits)
    assert (own - theirs).abs().max() <= 1e-12 * theirs.abs().max()


def test_confident_wrong_pixels_pull_as_hard_as_they_can() -> None:
    """Sigmoid and then the logarithm gives these three a gradient of exactly 0: the most wrong pixels stop learning."""
    logits = torch.tensor([[[200.0, -200.0, 20.0]]], requires_grad=True)
    truth = torch.tensor([[0, 1, 0]])
    value = dice_ce(logits, truth, dice=0.0)
    assert value.item() == pytest.approx((200 + 200 + 20) / 3)
    [found] = torch.autograd.grad(value, logits)
    torch.testing.assert_close(3 * found, torch.tensor([[[1.0, -1.0, 1.0]]]), rtol=0, atol=1e-6)
    baked = torch.tensor([[[200.0, -200.0, 20.0]]], requires_grad=True)
    [dead] = torch.autograd.grad(F.binary_cross_entropy(baked.sigmoid()[0], truth.float()), baked)
    assert dead.abs().max() == 0


def test_an_image_counts_as_much_with_few_pixels_as_with_many() -> None:
    logits, target = images(3)
    alone = [dice_ce(logits[i : i + 1], target[i : i + 1]) for i in range(5)]
    assert dice_ce(logits, target).item() == pytest.approx(torch.stack(alone).mean().item(), rel=1e-12)


def test_without_a_pixel_an_image_does_not_count() -> None:
    logits, target = images(3)
    target[1] = -1
    keep = [0, 2, 3, 4]
    value, weight = DiceCE()(logits, target)
    assert weight == 4
    assert value.item() == pytest.approx(DiceCE()(logits[keep], target[keep])[0].item(), rel=1e-12)
