"""Kinds of dropout that torch has no module for: DropBlock and stochastic depth.

Single numbers are dropped by ``torch.nn.Dropout``, whole channels by ``torch.nn.Dropout2d``: in a feature map
neighbours say nearly the same, so dropping single numbers there takes away little.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class DropBlock2d(nn.Module):
    """Sets square blocks of a feature map to 0 and scales up the rest (Ghiasi et al. 2018, "DropBlock").

    In training each position that a whole block fits around becomes the centre of one with probability
    gamma = p / b^2 * H W / ((H - b + 1)(W - b + 1)), so that about a share p is dropped; the rest is multiplied by
    (numbers / numbers kept). At inference, and with p = 0, the input itself is returned. A map that is smaller than the
    block has blocks of its own size.

    Args:
        p: share to be dropped, 0 to 1.
        block_size: side b of a block.

    Shapes:
        (N, C, H, W) -> (N, C, H, W)

    Raises:
        ValueError: p outside [0, 1], a block size below 1, or an input that is no feature map.

    >>> import torch
    >>> DropBlock2d(0.1, 3).eval()(torch.ones(1, 1, 1, 2))
    tensor([[[[1., 1.]]]])
    """

    def __init__(self, p: float, block_size: int = 7) -> None:
        super().__init__()
        _check_probability("DropBlock2d", p)
        if block_size < 1:
            raise ValueError(f"DropBlock2d: block_size must be at least 1, not {block_size}")
        self.p = p
        self.block_size = block_size

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 4:
            raise ValueError(f"DropBlock2d takes feature maps (N, C, H, W), not shape {tuple(x.shape)}")
        if not self.training or self.p == 0:
            return x
        if self.p == 1:
            return x * 0
        kept = 1 - self.dropped(x)
        return x * kept * (kept.numel() / kept.sum().clamp(min=1))

    def dropped(self, x: Tensor) -> Tensor:
        """A random mask of x's shape: 1 where a block lies."""
        n, c, h, w = x.shape
        tall, wide = min(self.block_size, h), min(self.block_size, w)
        rows, columns = h - tall + 1, w - wide + 1
        gamma = min(1.0, self.p / (tall * wide) * h * w / (rows * columns))
        corners = x.new_empty((n, c, rows, columns)).bernoulli_(gamma)
        padded = F.pad(corners, (wide - 1, wide - 1, tall - 1, tall - 1))
        return F.max_pool2d(padded, (tall, wide), stride=1)

    def extra_repr(self) -> str:
        return f"p={self.p}, block_size={self.block_size}"


class StochasticDepth(nn.Module):
    """Leaves out a residual branch for whole rows, at random (Huang et al. 2016, "Deep Networks with Stochastic
    Depth").

    Put it around the branch: ``h + drop(f(h))``. In training a row's branch is set to 0 with probability p and
    multiplied by 1 / (1 - p) otherwise; at inference the input itself is returned. Also called DropPath.

    Args:
        p: probability of leaving the branch out, 0 to 1.

    Shapes:
        (N, ...) -> (N, ...)

    Raises:
        ValueError: p outside [0, 1].

    >>> import torch
    >>> StochasticDepth(1.0)(torch.ones(2, 2))
    tensor([[0., 0.],
            [0., 0.]])
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        _check_probability("StochasticDepth", p)
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        if self.p == 1:
            return x * 0
        kept = x.new_empty((x.shape[0], *[1] * (x.dim() - 1))).bernoulli_(1 - self.p)
        return x * (kept / (1 - self.p))

    def extra_repr(self) -> str:
        return f"p={self.p}"


def stochastic_depth_rates(p: float, depth: int) -> list[float]:
    """Probabilities for ``depth`` blocks in a row, rising evenly to p at the last: block i of L has p i / L.

    Early blocks make the features that all later ones need, so they are left out less often (the paper's linear rule).

    >>> stochastic_depth_rates(0.2, 4)
    [0.05, 0.1, 0.15000000000000002, 0.2]
    """
    _check_probability("stochastic_depth_rates", p)
    return [p * (block + 1) / depth for block in range(depth)]


def _check_probability(where: str, p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"{where}: p is a probability, 0 to 1, not {p}")
