"""Random cuts out of images."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lamplighter.core.errors import DataError
from lamplighter.data.augment._images import images_of, mask_of, moved
from lamplighter.data.source import Batch


class RandomCrop:
    """Cuts a rectangle out of each image, at a place of its own, and the same rectangle out of its mask.

    For images of any size or of different sizes: training sees pieces of one size, and more of them. Where images of a
    batch were filled up to one size, the place is chosen within what was there before.

    Args:
        height: pixels; an axis of the image that is shorter stays as it is.
        width: pixels.

    >>> batch = {"x": torch.arange(16).reshape(1, 1, 4, 4), "y": torch.arange(16).reshape(1, 4, 4)}
    >>> cut = RandomCrop(2, 3)(batch, torch.Generator().manual_seed(0))
    >>> cut["x"].tolist(), bool((cut["x"][:, 0] == cut["y"]).all())
    ([[[[9, 10, 11], [13, 14, 15]]]], True)
    """

    def __init__(self, height: Annotated[int, Field(ge=1)] = 256, width: Annotated[int, Field(ge=1)] = 256) -> None:
        self.height = height
        self.width = width

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """A new batch; ``x`` is (rows, channels, height, width) of any dtype, on any device.

        Raises:
            DataError: the target has one number for each place of the image, but is no mask.
        """
        x = images_of(batch, "random-crop")
        mask = mask_of(batch, x)
        y = batch.get("y")
        if mask is None and y is not None and y.dim() >= 3:
            raise DataError(f"augment 'random-crop': does not know how to cut a target of shape {tuple(y.shape)}")
        height, width = min(self.height, x.shape[2]), min(self.width, x.shape[3])
        sizes = batch.get("original_size", torch.tensor([x.shape[2:]]).expand(len(x), 2)).to(generator.device)
        room = (sizes - torch.tensor([height, width], device=generator.device)).clamp(min=0) + 1
        draws = torch.rand(len(x), 2, generator=generator, device=generator.device, dtype=torch.float64)
        corners = (draws * room).long().to(x.device)
        cut = moved(
            batch, _cut(x, corners, height, width), None if mask is None else _cut(mask, corners, height, width)
        )
        cut.pop("original_size", None)  # all of one size now
        return cut


def _cut(x: Tensor, corners: Tensor, height: int, width: int) -> Tensor:
    """(N, C, height, width), each from its own corner (N, 2)."""
    rows = corners[:, :1] + torch.arange(height, device=x.device)
    columns = corners[:, 1:] + torch.arange(width, device=x.device)
    each = torch.arange(len(x), device=x.device)[:, None, None]
    return x.movedim(1, 3)[each, rows[:, :, None], columns[:, None, :]].movedim(3, 1).contiguous()
