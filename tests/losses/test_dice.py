"""Dice and Tversky against the formula written out, position by position."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lamplighter.core.errors import LamplighterError
from lamplighter.losses.dice import Dice, Tversky, dice, tversky


def images(channels: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(5, channels, 4, 6, dtype=torch.float64, generator=generator)
    target = torch.randint(0, max(channels, 2), (5, 4, 6), generator=generator)
    target[0, 0, :3] = target[2, :, 4] = -1
    return logits.requires_grad_(), target


def by_hand(logits: Tensor, target: Tensor, alpha: float, beta: float, smooth: float) -> float:
    """Loops over images and classes; numpy only."""
    z, y = logits.detach().numpy(), target.numpy()
    losses = []
    for image, truth in zip(z, y):
        if len(image) == 1:
            p = 1 / (1 + np.exp(-image))
        else:
            p = np.exp(image) / np.exp(image).sum(0)
        valid = truth >= 0
        overlaps = []
        for k, channel in enumerate(p):
            t = (truth == (1 if len(p) == 1 else k))[valid]
            q = channel[valid]
            tp, fp, fn = (q * t).sum(), (q * ~t).sum(), ((1 - q) * t).sum()
            overlaps.append((tp + smooth) / (tp + alpha * fp + beta * fn + smooth))
        losses.append(1 - np.mean(overlaps))
    return float(np.mean(losses))


@pytest.mark.parametrize("channels", [1, 2, 4])
@pytest.mark.parametrize(("alpha", "beta", "smooth"), [(0.5, 0.5, 1.0), (0.3, 0.7, 1e-5), (0.9, 0.1, 2.0)])
def test_tversky_equals_the_formula(channels: int, alpha: float, beta: float, smooth: float) -> None:
    logits, target = images(channels)
    value = tversky(logits, target, alpha, beta, smooth)
    assert value.item() == pytest.approx(by_hand(logits, target, alpha, beta, smooth), rel=1e-12)
    value, weight = Tversky(alpha, beta, smooth)(logits, target)
    assert value.item() == pytest.approx(by_hand(logits, target, alpha, beta, smooth), rel=1e-12)
    assert weight == 5


@pytest.mark.parametrize("channels", [1, 3])
def test_dice_equals_its_own_formula(channels: int) -> None:
    """(2 sum p t + s) / (sum p + sum t + s), as segmentation libraries write it."""
    logits, target = images(channels)
    valid = (target >= 0)[:, None]
    if channels == 1:
        p, t = logits.sigmoid() * valid, (target[:, None] == 1).double()
    else:
        p, t = logits.softmax(1) * valid, torch.stack([target == k for k in range(channels)], 1).double()
    over = (2, 3)
    expected = 1 - (2 * (p * t).sum(over) + 1) / (p.sum(over) + t.sum(over) + 1)
    torch.testing.assert_close(dice(logits, target), expected.mean(), rtol=1e-12, atol=0)
    torch.testing.assert_close(Dice()(logits, target)[0], expected.mean(), rtol=1e-12, atol=0)
    ours = torch.autograd.grad(dice(logits, target), logits)[0]
    theirs = torch.autograd.grad(expected.mean(), logits)[0]
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-17)


def test_beta_punishes_what_is_missed_and_alpha_what_is_invented() -> None:
    target = torch.tensor([[1, 1, 0, 0]])
    missed, invented = torch.tensor([[[9.0, -9.0, -9.0, -9.0]]]), torch.tensor([[[9.0, 9.0, 9.0, -9.0]]])
    careful = [tversky(z, target, alpha=0.1, beta=0.9) for z in (missed, invented)]
    assert careful[0] > 2 * careful[1]
    strict = [tversky(z, target, alpha=0.9, beta=0.1) for z in (missed, invented)]
    assert strict[1] > 2 * strict[0]


def test_a_class_that_is_neither_there_nor_predicted_costs_nothing() -> None:
    assert dice(torch.full((1, 1, 8), -50.0), torch.zeros(1, 8, dtype=torch.long)).item() == pytest.approx(0, abs=1e-6)


def test_an_image_without_a_position_that_counts_does_not_count() -> None:
    logits, target = images(3)
    target[1] = 255
    value, weight = Dice(ignore_index=255)(logits, target)
    kept = [0, 2, 3, 4]
    torch.testing.assert_close(value, dice(logits[kept], target[kept]))
    assert weight == 4
    assert torch.autograd.grad(value, logits)[0][1].abs().max() == 0


def test_shapes_that_do_not_fit_are_named() -> None:
    with pytest.raises(LamplighterError, match=r"targets of shape \(5, 4\) do not fit logits of shape \(5, 3, 4, 6\)"):
        dice(images(3)[0], torch.zeros(5, 4, dtype=torch.long))
