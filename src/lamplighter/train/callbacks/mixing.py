"""Two rows become one, and so do their labels: the arithmetic of MixUp and CutMix.

Legend: N rows, K classes, H and W height and width. ``share``: how much of a mixed row is the row itself; the rest is
its partner. Nothing here waits for the device: random numbers become masks and weights, never Python numbers.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lamplighter.core.errors import DataError
from lamplighter.data.source import Batch
from lamplighter.tasks.base import target_present


def blend(x: Tensor, partner: Tensor, keep: Tensor) -> Tensor:
    """keep * x + (1 - keep) * x[partner].

    Args:
        x: (N, ...) numbers; integers (uint8 images) are blended in float32, and so are 16-bit floats.
        partner: (N,) index of each row's partner.
        keep: share of the row itself at each place, of a shape that fits x.

    Returns:
        Floating point of at least 32 bits for integers, else of x's type; in x's memory layout.

    >>> blend(torch.tensor([[0], [100]], dtype=torch.uint8), torch.tensor([1, 0]), torch.tensor([[0.75], [1.0]]))
    tensor([[ 25.],
            [100.]])
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    keep = keep.to(wide.dtype)
    mixed = keep * wide + (1 - keep) * _rows(wide, partner)
    return mixed.to(x.dtype) if x.is_floating_point() else mixed


def paste(x: Tensor, partner: Tensor, keep: Tensor) -> Tensor:
    """x where ``keep`` is 1, x[partner] where it is 0; any type, which stays.

    Args:
        x: (N, ...).
        partner: (N,) index of each row's partner.
        keep: zeros and ones, of a shape that fits x.
    """
    return torch.where(keep.bool(), x, _rows(x, partner))


def mix_targets(y: Tensor, partner: Tensor, share: Tensor, num_classes: int | None = None) -> Tensor:
    """share * y + (1 - share) * y[partner], of class indices as rows of probabilities.

    A blank (-1, or NaN) on either side makes the result blank (a row of zeros, or NaN), unless nothing was taken from
    that side: a label for a part of an unlabelled picture would have the wrong weight.

    Args:
        y: (N,) class indices, -1 for a blank; or floating point (N,) or (N, ...): numbers, NaN for a blank, or rows
            of probabilities.
        partner: (N,) index of each row's partner.
        share: (N,) or (1,) of the row itself.
        num_classes: K; needed for class indices.

    Returns:
        (N, K) float32 for class indices, else y's shape and type.

    >>> mix_targets(torch.tensor([0, 1, -1]), torch.tensor([1, 2, 0]), torch.tensor([0.75, 0.5, 0.5]), num_classes=2)
    tensor([[0.7500, 0.2500],
            [0.0000, 0.0000],
            [0.0000, 0.0000]])
    """
    if y.is_floating_point():
        share = share.to(y.dtype).reshape(-1, *[1] * (y.dim() - 1))
        mixed = share * y + (1 - share) * y[partner]
        return torch.where(share == 1, y, torch.where(share == 0, y[partner], mixed))
    if y.dim() != 1 or num_classes is None:
        raise DataError(
            f"mixing needs one class or numbers for each row, but y has shape {tuple(y.shape)} and type {y.dtype}"
        )
    share, known = share.to(torch.float32)[:, None], (y >= 0)[:, None]
    rows = torch.zeros(len(y), num_classes, device=y.device).scatter_(1, y.clamp(min=0)[:, None], known.float())
    mixed = torch.lerp(rows[partner], rows, share)
    if _surely_all(known):
        return mixed
    return mixed * ((known | (share == 0)) & (known[partner] | (share == 1)))


def partners(y: Tensor, generator: torch.Generator) -> Tensor:
    """A random permutation within the rows that have a target, and within those that have none.

    Args:
        y: as in `mix_targets`.
        generator: source of random numbers.

    Returns:
        (N,) index of each row's partner, which may be the row itself.
    """
    present = target_present(y)
    if _surely_all(present):
        return torch.randperm(len(y), generator=generator)
    blank = (~present).to(torch.int8)
    draws = torch.rand(len(y), generator=generator, device=generator.device, dtype=_precise(generator)).to(y.device)
    shuffled = torch.argsort(draws)
    shuffled = shuffled[torch.argsort(blank[shuffled], stable=True)]  # rows with a target first, both in random order
    return torch.empty_like(shuffled).scatter_(0, torch.argsort(blank, stable=True), shuffled)


def symmetric_beta(alpha: float, count: int, generator: torch.Generator) -> Tensor:
    """Draws from Beta(alpha, alpha), in closed form and hence on any device with any generator.

    A Student t variable T of 2 alpha degrees of freedom gives 1/2 + T / (2 sqrt(2 alpha + T^2)), and Bailey's polar
    method (1994) gives T from two uniform numbers U, V: T^2 = 2 alpha (U^(-1 / alpha) - 1) cos^2(2 pi V).

    Args:
        alpha: above 0; below 1 draws lie near 0 and 1.
        count: how many.
        generator: source of random numbers.

    Returns:
        (count,) float64, where the device has that.
    """
    u, v = torch.rand(2, count, generator=generator, device=generator.device, dtype=_precise(generator))
    if (
        count == 1 and u.device.type == "cpu"
    ):  # a dozen operations on tensors of one number would take ten times as long
        return torch.tensor([_symmetric_beta(alpha, u.item(), v.item())], dtype=torch.float64)
    cosine = torch.cos(2 * math.pi * v)
    return 0.5 + 0.5 * cosine.sign() * (1 + 1 / ((u ** (-1 / alpha) - 1) * cosine.square())).rsqrt()


def _symmetric_beta(alpha: float, u: float, v: float) -> float:
    cosine = math.cos(2 * math.pi * v)
    try:
        spread = (u ** (-1 / alpha) - 1) * cosine**2
    except (OverflowError, ZeroDivisionError):
        spread = math.inf
    return 0.5 + math.copysign(0.5, cosine) / math.sqrt(1 + 1 / spread) if spread else 0.5


def boxes(share: Tensor, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """`box_masks` around uniformly drawn pixels.

    Args:
        share: (n,) wanted share of each picture that stays.
        size: H, W.
        generator: source of random numbers.
    """
    draws = torch.rand(2, len(share), generator=generator, device=generator.device).to(share.device)
    centre_y, centre_x = ((draw * length).long().clamp(max=length - 1) for draw, length in zip(draws, size))
    return box_masks(share, centre_y, centre_x, size)


def box_masks(share: Tensor, centre_y: Tensor, centre_x: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks that are 0 inside a box of sides sqrt(1 - share) H and sqrt(1 - share) W, clipped to the picture.

    The side goes with the root, so that the box, where nothing is clipped, has the area 1 - share.

    Args:
        share: (n,) wanted share of each picture that stays.
        centre_y: (n,) row of the box's centre.
        centre_x: (n,) column.
        size: H, W.

    Returns:
        (n, 1, H, W) float32. Its mean is the share that really stays: more than wanted where the box was clipped.

    >>> box_masks(torch.tensor([0.75]), torch.tensor([0]), torch.tensor([2]), (4, 4))[0, 0].tolist()
    [[1.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]
    """
    half = 0.5 * (1 - share).sqrt()
    inside = []
    for centre, length in zip((centre_y, centre_x), size):
        reach = (half * length).long()[:, None]
        places = torch.arange(length, device=share.device)
        inside.append((places >= centre[:, None] - reach) & (places < centre[:, None] + reach))
    box = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return (~box).to(torch.float32)


def inputs_of(batch: Batch, name: str, images: bool) -> Tensor:
    """The batch's ``x``, when its rows can be mixed.

    Args:
        batch: also has ``y``.
        name: of the callback, for the message.
        images: whether it must be (N, C, H, W).

    Raises:
        DataError: no ``x`` or ``y``; no images; or integers other than bytes, which are ids and no quantities.
    """
    x = batch.get("x")
    if x is None or "y" not in batch:
        raise DataError(f"callback '{name}' mixes 'x' and 'y'; this data has {', '.join(sorted(batch))}")
    if images and x.dim() != 4:
        raise DataError(f"callback '{name}' works on images (rows, channels, height, width), not {tuple(x.shape)}")
    if not x.is_floating_point() and x.dtype != torch.uint8:
        raise DataError(f"callback '{name}' mixes images and numbers; this data's 'x' holds {x.dtype}")
    return x


def _rows(x: Tensor, index: Tensor) -> Tensor:
    """x[index] in the memory layout of x."""
    return torch.index_select(x, 0, index, out=torch.empty_like(x))


def _surely_all(flags: Tensor) -> bool:
    """Whether all are set; not asked on a GPU, whose answer would have to be waited for."""
    return flags.device.type == "cpu" and bool(flags.all())


def _precise(generator: torch.Generator) -> torch.dtype:
    """float64, which MPS lacks."""
    return torch.float32 if generator.device.type == "mps" else torch.float64
