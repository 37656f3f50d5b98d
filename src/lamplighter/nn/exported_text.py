"""The plain text networks that a bundle holds: from token ids and their mask to named outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import Tensor, nn

from lamplighter.nn.pooling import masked_mean


class ExportedTextNetwork(nn.Module):
    """A classifier as one module with a tuple of outputs.

    Args:
        model: when it has ``forward_features`` and ``head``, the input of the head is an output too.

    Shapes:
        (N, L), (N, L) -> ((N, K), (N, D)) or ((N, K),)
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    @property
    def embeds(self) -> bool:
        """Whether the second output, the embedding, exists."""
        return hasattr(self.model, "forward_features") and isinstance(getattr(self.model, "head", None), nn.Module)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        if not self.embeds:
            return (self.model(input_ids, attention_mask),)
        features = cast(Callable[..., Tensor], self.model.forward_features)(input_ids, attention_mask)
        return cast(nn.Module, self.model.head)(features), features


class ExportedTaggingNetwork(nn.Module):
    """A tagger as one module with a tuple of outputs.

    Args:
        model: when it has ``hidden`` and ``head``, the mean of the hidden states over real tokens is an output too.

    Shapes:
        (N, L), (N, L) -> ((N, L, K), (N, D)) or ((N, L, K),)
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    @property
    def embeds(self) -> bool:
        """Whether the second output, the embedding, exists."""
        return callable(getattr(self.model, "hidden", None)) and isinstance(
            getattr(self.model, "head", None), nn.Module
        )

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        if not self.embeds:
            return (self.model(input_ids, attention_mask),)
        states = cast(Callable[..., Tensor], self.model.hidden)(input_ids, attention_mask)
        return cast(nn.Module, self.model.head)(states), masked_mean(states, attention_mask)
