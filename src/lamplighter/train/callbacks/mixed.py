"""What MixUp and CutMix share: rows of a training batch are mixed in pairs, their targets in the same proportion."""

from __future__ import annotations

import torch
from torch import Tensor

from lamplighter.data.source import Batch
from lamplighter.train.callbacks import mixing
from lamplighter.train.callbacks.base import Callback, State


class Mixing(Callback):
    """Base of callbacks that mix rows; they say how a pair becomes one row, and how much of each it is.

    Args:
        name: of the callback, for messages.
        num_classes: width of the rows of probabilities that class indices become.
        p: chance that a batch (with ``per_sample`` a row) is mixed.
        per_sample: draw for each row instead of once for the batch.
        until: share of the training after which nothing is mixed any more.
        images: whether only images can be mixed.
    """

    def __init__(
        self, name: str, num_classes: int | None, p: float, per_sample: bool, until: float, images: bool
    ) -> None:
        self.name = name
        self.num_classes = num_classes
        self.p = p
        self.per_sample = per_sample
        self.until = until
        self.images = images

    def on_batch(self, batch: Batch, state: State, generator: torch.Generator) -> Batch:
        """``x`` and ``y`` mixed; class indices become rows of probabilities, (N, K) float32."""
        if self.until < 1 and state.step >= self.until * state.total_steps:
            return batch
        x, y = mixing.inputs_of(batch, self.name, self.images), batch["y"]
        partner = mixing.partners(y, generator)
        mixed, share = self.mix(x, partner, len(x) if self.per_sample else 1, generator)
        return {**batch, "x": mixed, "y": mixing.mix_targets(y, partner, share, self.num_classes)}

    def mix(self, x: Tensor, partner: Tensor, draws: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Mixed rows, and the share of each that is the row itself.

        Args:
            x: (N, ...).
            partner: (N,).
            draws: 1 for the whole batch, or N.
            generator: source of random numbers.

        Returns:
            (N, ...) and (draws,).
        """
        raise NotImplementedError

    def shares(self, alpha: float, x: Tensor, draws: int, generator: torch.Generator) -> Tensor:
        """(draws,) from Beta(alpha, alpha) on x's device; 1, which changes nothing, where nothing is to be mixed."""
        share = mixing.symmetric_beta(alpha, draws, generator)
        if self.p == 1:
            return share.to(x.device)
        chosen = torch.rand(draws, generator=generator, device=generator.device) < self.p
        return torch.where(chosen, share, 1.0).to(x.device)


def for_each(share: Tensor, x: Tensor) -> Tensor:
    """(n,) -> (n, 1, ...), to be multiplied with the rows of x."""
    return share.reshape(-1, *[1] * (x.dim() - 1))
