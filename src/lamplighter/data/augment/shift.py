"""Random translations."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from lamplighter.data.augment._images import images_of, mask_of, moved
from lamplighter.data.source import Batch


class RandomShift:
    """Moves each image by its own whole number of pixels, up to ``pixels`` in each direction, and its mask with it.

    Args:
        pixels: largest offset; every offset from ``-pixels`` to ``pixels`` is equally likely, for both axes alone.
        padding: what comes in at the border: ``zero`` (such pixels of a mask do not count), or the nearest ``edge``
            pixel.

    >>> batch = {"x": torch.arange(9, dtype=torch.uint8).reshape(1, 1, 3, 3)}
    >>> generator = torch.Generator().manual_seed(1)
    >>> RandomShift(pixels=1)(batch, generator)["x"].tolist()
    [[[[0, 0, 1], [0, 3, 4], [0, 6, 7]]]]
    """

    def __init__(self, pixels: Annotated[int, Field(ge=1)] = 2, padding: Literal["zero", "edge"] = "zero") -> None:
        self.pixels = pixels
        self.padding = padding

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """A new batch; ``x`` is (rows, channels, height, width) of any dtype, on any device."""
        x = images_of(batch, "random-shift")
        offsets = torch.randint(
            -self.pixels, self.pixels + 1, (2, len(x), 1), generator=generator, device=generator.device
        ).to(x.device)
        mask = mask_of(batch, x)
        return moved(batch, self._shifted(x, offsets, 0), None if mask is None else self._shifted(mask, offsets, -1))

    def _shifted(self, x: Tensor, offsets: Tensor, outside: int) -> Tensor:
        rows, channels, height, width = x.shape
        # with zero padding, one more row and column is where outside values come from
        source = functional.pad(x, (0, 1, 0, 1), value=outside) if self.padding == "zero" else x
        from_y, from_x = self._sources(height, offsets[0]), self._sources(width, offsets[1])
        index = (from_y[:, :, None] * source.shape[3] + from_x[:, None, :]).reshape(rows, 1, height * width)
        gathered = source.reshape(rows, channels, -1).gather(2, index.expand(-1, channels, -1))
        return gathered.reshape(x.shape)

    def _sources(self, size: int, offset: Tensor) -> Tensor:
        """For each row and target position (rows, size): the position its value comes from."""
        wanted = torch.arange(size, device=offset.device) - offset
        inside = wanted.clamp(0, size - 1)
        return inside if self.padding == "edge" else torch.where(wanted == inside, wanted, size)
