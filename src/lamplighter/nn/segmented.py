"""The plain segmentation network that a bundle holds: from raw pixels to logits of every pixel."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn


class SegmentedNetwork(nn.Module):
    """norm -> model, as one module with a tuple of outputs.

    Args:
        norm: first layer, see `lamplighter.nn.input_norm.InputNorm`; ``nn.Identity()`` for none.
        model: (N, C, H, W) -> logits (N, K, H, W). When it has ``features(x)``, maps by name from fine to coarse, and
            ``decode(maps, size)``, the mean over all positions of the coarsest map is an output too.

    Shapes:
        (N, C, H, W) -> ((N, K, H, W), (N, D)) or ((N, K, H, W),)
    """

    def __init__(self, norm: nn.Module, model: nn.Module) -> None:
        super().__init__()
        self.norm = norm
        self.model = model

    @property
    def embeds(self) -> bool:
        """Whether the second output, the embedding, exists."""
        return callable(getattr(self.model, "features", None)) and callable(getattr(self.model, "decode", None))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        if not self.embeds:
            return (self.model(self.norm(x)),)
        maps = cast(dict[str, Tensor], self.model.features(self.norm(x)))  # type: ignore[operator]
        logits = cast(Tensor, self.model.decode(maps, x.shape[-2:]))  # type: ignore[operator]
        coarsest = next(reversed(maps.values()))
        return logits, coarsest.mean(dim=(2, 3))
