"""Random mirror images."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from lamplighter.data.augment._images import images_of, mask_of, moved
from lamplighter.data.source import Batch


class RandomFlip:
    """Mirrors each image left to right with probability ``p``, and its mask with it.

    Leave it out where left and right mean something: letters, digits, traffic signs.

    Args:
        p: probability for each image.

    >>> batch = {"x": torch.tensor([[[[1, 2, 3]]]], dtype=torch.uint8)}
    >>> RandomFlip(p=1)(batch, torch.Generator())["x"].flatten().tolist()
    [3, 2, 1]
    """

    def __init__(self, p: Annotated[float, Field(ge=0, le=1)] = 0.5) -> None:
        self.p = p

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """A new batch; ``x`` is (rows, channels, height, width) of any dtype, on any device."""
        x = images_of(batch, "random-flip")
        draws = torch.rand(len(x), generator=generator, device=generator.device)
        flipped = (draws < self.p).to(x.device)[:, None, None, None]
        mask = mask_of(batch, x)
        turned = None if mask is None else torch.where(flipped, mask.flip(3), mask)
        return moved(batch, torch.where(flipped, x.flip(3), x), turned)
