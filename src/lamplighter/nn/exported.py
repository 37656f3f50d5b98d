"""The plain network that a bundle holds: from raw tensors to named outputs, with nothing of training left in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import Tensor, nn


class ExportedNetwork(nn.Module):
    """norm -> model -> scale, as one module with a tuple of outputs.

    Args:
        norm: first layer, see `InputNorm`; ``nn.Identity()`` for none.
        model: a network. When it has ``forward_features`` and ``head``, the input of the head is an output too.
        scale: last layer, see `OutputScale`; ``nn.Identity()`` for none.

    Shapes:
        (N, ...) -> ((N, K), (N, D)) or ((N, K),)
    """

    def __init__(self, norm: nn.Module, model: nn.Module, scale: nn.Module) -> None:
        super().__init__()
        self.norm = norm
        self.model = model
        self.scale = scale

    @property
    def embeds(self) -> bool:
        """Whether the second output, the embedding, exists."""
        return hasattr(self.model, "forward_features") and isinstance(getattr(self.model, "head", None), nn.Module)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        if not self.embeds:
            return (self.scale(self.model(self.norm(x))),)
        features = cast(Callable[[Tensor], Tensor], self.model.forward_features)(self.norm(x))
        return self.scale(cast(nn.Module, self.model.head)(features)), features
