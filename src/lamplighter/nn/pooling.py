"""Pooling that torch lacks: GeM, attention, masked mean and maximum of sequences, blur before subsampling.

Maximum, average and adaptive pooling are torch's own (``nn.MaxPool2d``, ``nn.AvgPool2d``, ``nn.AdaptiveAvgPool2d``).

Legend: N rows, L positions, D features, C channels, H and W the size of a map.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GlobalPoolName = Literal["mean", "max", "gem", "attention"]


class GeM(nn.Module):
    """(mean over positions of max(x, eps)^p)^(1/p), the generalised mean (Radenovic et al. 2018).

    One p serves all channels. p = 1 is the mean, a large p the maximum; between them it is the Lp norm over the
    positions, divided by ``positions^(1/p)``.

    Args:
        p: exponent to start with, at least 1.
        trainable: whether p learns.
        eps: smaller inputs count as this, since a negative number has no real power.

    Shapes:
        (N, C, ...) -> (N, C)

    >>> GeM(p=2.0)(torch.tensor([[[[1.0, 7.0]]]])).detach()  # the root of (1 + 49) / 2
    tensor([[5.]])
    """

    def __init__(self, p: float = 3.0, trainable: bool = True, eps: float = 1e-6) -> None:
        super().__init__()
        if p < 1:
            raise ValueError(f"GeM: p is {p}; it must be at least 1")
        self.p = nn.Parameter(torch.tensor(float(p)), requires_grad=trainable)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        powers = x.flatten(2).clamp(min=self.eps).pow(self.p)
        pooled: Tensor = powers.mean(dim=2).pow(1 / self.p)
        return pooled


class AttentionPool(nn.Module):
    """sum_l a_l x_l with a = softmax(v . tanh(W x + b)) over the real positions (Lin et al. 2017, with one query).

    Args:
        dim: D, features of one position.
        hidden: width of the scores' layer; None: D.

    Shapes:
        (N, L, D), mask (N, L) or None -> (N, D); a row without a real position gives zeros

    >>> pool = AttentionPool(4)
    >>> x = torch.randn(1, 3, 4)
    >>> seen = torch.tensor([[True, False, False]])
    >>> torch.equal(pool(x, seen)[0], x[0, 0])
    True
    """

    def __init__(self, dim: int, hidden: int | None = None) -> None:
        super().__init__()
        self.project = nn.Linear(dim, hidden or dim)
        self.score = nn.Linear(hidden or dim, 1, bias=False)

    def weights(self, x: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """a: (N, L), 0 at padding, summing to 1."""
        scores_NL: Tensor = self.score(torch.tanh(self.project(x))).squeeze(2)
        if attention_mask is None:
            return scores_NL.softmax(dim=1)
        # The lowest finite number, not -inf, by which a row of padding alone would pass through NaN.
        scores_NL = scores_NL.masked_fill(~attention_mask, torch.finfo(scores_NL.dtype).min)
        return scores_NL.softmax(dim=1).masked_fill(~attention_mask, 0.0)

    def forward(self, x: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        if attention_mask is not None:
            x = x.masked_fill(~attention_mask.unsqueeze(2), 0.0)
        pooled: Tensor = (self.weights(x, attention_mask).unsqueeze(2) * x).sum(dim=1)
        return pooled


def masked_mean(x: Tensor, attention_mask: Tensor | None = None) -> Tensor:
    """Mean over the real positions of each row.

    Args:
        x: (N, L, D).
        attention_mask: (N, L), True where a position is real; None: all are.

    Returns:
        (N, D); zeros for a row of padding alone.

    >>> masked_mean(torch.tensor([[[1.0], [3.0], [99.0]]]), torch.tensor([[True, True, False]]))
    tensor([[2.]])
    """
    if attention_mask is None:
        return x.mean(dim=1)
    kept = x.masked_fill(~attention_mask.unsqueeze(2), 0.0)
    return kept.sum(dim=1) / attention_mask.sum(dim=1, keepdim=True).clamp(min=1).to(x.dtype)


def masked_max(x: Tensor, attention_mask: Tensor | None = None) -> Tensor:
    """Largest number of each feature over the real positions of each row.

    Args:
        x: (N, L, D).
        attention_mask: (N, L), True where a position is real; None: all are.

    Returns:
        (N, D); zeros for a row of padding alone.

    >>> masked_max(torch.tensor([[[-1.0], [-3.0], [0.0]]]), torch.tensor([[True, True, False]]))
    tensor([[-1.]])
    """
    if attention_mask is None:
        return x.amax(dim=1)
    kept = x.masked_fill(~attention_mask.unsqueeze(2), torch.finfo(x.dtype).min)
    return kept.amax(dim=1).masked_fill(~attention_mask.any(dim=1, keepdim=True), 0.0)


class BlurPool2d(nn.Module):
    """A binomial blur of each channel, then every ``stride``-th position (Zhang 2019, "Making Convolutional Networks
    Shift-Invariant Again").

    Keeping every second position alone folds fine patterns into coarse ones, so that a shift of one pixel changes the
    answer; the blur takes those patterns out first. It has no parameters. Borders are continued by their last pixel,
    so any size of at least 1 fits.

    Args:
        kernel_size: odd side of the blur; 3 is the kernel 1 2 1 in both directions.
        stride: step.

    Shapes:
        (N, C, H, W) -> (N, C, ceil(H / stride), ceil(W / stride))

    >>> BlurPool2d()(torch.tensor([[[[0.0, 0.0, 4.0, 0.0]]]]))
    tensor([[[[0., 2.]]]])
    """

    kernel: Tensor

    def __init__(self, kernel_size: int = 3, stride: int = 2) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"BlurPool2d: kernel_size is {kernel_size}; it must be odd")
        row = torch.ones(1)
        for _ in range(kernel_size - 1):  # Pascal's triangle
            row = F.pad(row, (0, 1)) + F.pad(row, (1, 0))
        kernel = torch.outer(row, row)
        self.register_buffer("kernel", (kernel / kernel.sum()).view(1, 1, kernel_size, kernel_size), persistent=False)
        self.stride = stride
        self.padding = kernel_size // 2

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        padded = F.pad(x, (self.padding,) * 4, mode="replicate")
        return F.conv2d(
            padded, self.kernel.to(x.dtype).expand(channels, -1, -1, -1), stride=self.stride, groups=channels
        )


class GlobalPool(nn.Module):
    """All positions of a map to one vector of its channels.

    Args:
        name: ``mean``, ``max``, ``gem`` (`GeM`) or ``attention`` (`AttentionPool`, positions in any order).
        channels: of the map.

    Shapes:
        (N, channels, H, W) -> (N, channels)
    """

    def __init__(self, name: GlobalPoolName, channels: int) -> None:
        super().__init__()
        self.name = name
        self.attention = AttentionPool(channels) if name == "attention" else None
        self.gem = GeM() if name == "gem" else None

    def forward(self, x: Tensor) -> Tensor:
        if self.attention is not None:
            pooled: Tensor = self.attention(x.flatten(2).transpose(1, 2))
            return pooled
        if self.gem is not None:
            generalised: Tensor = self.gem(x)
            return generalised
        return x.amax(dim=(2, 3)) if self.name == "max" else x.mean(dim=(2, 3))
