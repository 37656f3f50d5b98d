"""A sequence of layers that gives the last map of each resolution."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from lamplighter.nn.image_input import image_input


class Staged(nn.Sequential):
    """Runs its layers in turn and keeps what comes before each halving of the resolution, and the end.

    As ``model.features`` it is both the function that every vision model here has, and what torchvision's checkpoints
    call ``features.0``, ``features.1`` ...; its maps have these names, too.

    Args:
        layers: in order; the first is, or begins with, the convolution that meets the image.
        strides: of each layer.
        model: name for messages.

    Shapes:
        (N, C, H, W) -> maps from fine to coarse, by name

    Raises:
        LamplighterError: images of another number of channels.

    >>> import torch
    >>> staged = Staged([nn.Conv2d(1, 2, 1), nn.MaxPool2d(2), nn.MaxPool2d(2)], [1, 2, 2], "example")
    >>> {name: tuple(x.shape) for name, x in staged(torch.zeros(1, 1, 8, 8)).items()}
    {'features.0': (1, 2, 8, 8), 'features.1': (1, 2, 4, 4), 'features.2': (1, 2, 2, 2)}
    """

    def __init__(self, layers: Sequence[nn.Module], strides: Sequence[int], model: str) -> None:
        super().__init__(*layers)
        following = [*strides[1:], 2]
        self.kept = {index: f"features.{index}" for index, stride in enumerate(following) if stride > 1}
        self.model = model

    @property
    def first(self) -> nn.Conv2d:
        """The convolution that meets the image."""
        return next(module for module in self.modules() if isinstance(module, nn.Conv2d))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = image_input(x, self.first, self.model)
        maps = {}
        for index, layer in enumerate(self):
            x = layer(x)
            if index in self.kept:
                maps[self.kept[index]] = x
        return maps


def coarsest(maps: dict[str, Tensor]) -> Tensor:
    """The last of the maps, with the fewest positions."""
    return maps[next(reversed(maps))]
