"""Limits on gradients before a step: by their norm, by value, and by the size of the weights they belong to.

All are called with parameters whose gradients are complete (accumulated, averaged over processes, unscaled). They
change the gradients in place and return the norm of all gradients together as it was before, a 0-d tensor. On a GPU
nothing waits for the device. Where that norm is not finite, the gradients must not be used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from lamplighter.core.registry import FromData
from lamplighter.optim.blocks import head

_EPS = 1e-6  # torch.nn.utils.clip_grad_norm_ has the same


class ClipNorm:
    """g <- g min(1, max_norm / (|g| + 1e-6)): all gradients become shorter together, the direction stays.

    Pascanu et al. 2013, "On the difficulty of training recurrent neural networks".

    Args:
        max_norm: longest gradient that is left as it is.
        norm_type: 2 is the length; 1 the sum of absolute values; inf the largest of them. This norm is returned, too.
    """

    def __init__(self, max_norm: Annotated[float, Field(gt=0)] = 1.0, norm_type: Literal[1, 2, "inf"] = 2) -> None:
        self.max_norm = max_norm
        self.order = float(norm_type)

    @torch.no_grad()
    def __call__(self, parameters: Sequence[nn.Parameter]) -> Tensor:
        """Clip; returns the norm before."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = total_norm(gradients, self.order)
        if norm.device.type != "cpu":
            torch.nn.utils.clip_grads_with_norm_(parameters, self.max_norm, norm)
        elif (value := norm.item()) > self.max_norm:  # a look costs nothing here, scaling by 1 would
            torch._foreach_mul_(gradients, self.max_norm / (value + _EPS))
        return norm


class ClipValue:
    """g <- min(max(g, -max_value), max_value) for every entry on its own, which turns the direction.

    Args:
        max_value: largest absolute value of an entry.
    """

    def __init__(self, max_value: Annotated[float, Field(gt=0)] = 1.0) -> None:
        self.max_value = max_value

    @torch.no_grad()
    def __call__(self, parameters: Sequence[nn.Parameter]) -> Tensor:
        """Clip; returns the L2 norm before."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = total_norm(gradients)
        for gradient in gradients:
            gradient.clamp_(-self.max_value, self.max_value)
        return norm


class ClipAdaptive:
    """g_i <- g_i min(1, factor max(|w_i|, eps) / |g_i|) for each unit i.

    Brock et al. 2021, "High-Performance Large-Scale Image Recognition Without Normalization" (NFNets). A unit
    is what makes one output: a row of a matrix, a kernel with all its input channels; vectors are one unit. So a step
    can change no unit by more than a share of itself, however deep it lies. The head is left as it is, as the paper
    advises: clipping it makes results worse.

    Args:
        module: tells which parameters are the head; without it, all are clipped.
        factor: largest gradient of a unit relative to its weights. The paper's 0.01 is for batches of 4,096 rows;
            smaller batches bear more.
        eps: smallest size of a unit's weights, so that zeros can grow.
    """

    def __init__(
        self,
        module: Annotated[nn.Module | None, FromData] = None,
        factor: Annotated[float, Field(gt=0)] = 0.01,
        eps: Annotated[float, Field(gt=0)] = 1e-3,
    ) -> None:
        self.module = module
        self.factor = factor
        self.eps = eps
        self.seen: tuple[int, ...] = ()
        self.head: set[int] = set()

    @torch.no_grad()
    def __call__(self, parameters: Sequence[nn.Parameter]) -> Tensor:
        """Clip; returns the L2 norm before."""
        norm = total_norm([p.grad for p in parameters if p.grad is not None])
        ids = tuple(map(id, parameters))
        if self.module is not None and ids != self.seen:  # one network after the other when a task has several
            self.seen, self.head = ids, head(self.module, parameters)
        for p in parameters:
            if p.grad is not None and id(p) not in self.head:
                longest = unit_norms(p).clamp(min=self.eps) * self.factor
                p.grad.mul_((longest / unit_norms(p.grad).clamp(min=_EPS)).clamp(max=1))
        return norm


def total_norm(gradients: list[Tensor], order: float = 2.0) -> Tensor:
    """Norm of all gradients as if they were one vector; of gradients sharded over processes, the whole norm.

    Args:
        gradients: on one device.
        order: 2, 1 or infinity.

    >>> total_norm([torch.tensor([3.0]), torch.tensor([[4.0]])])
    tensor(5.)
    """
    if not gradients:
        return torch.zeros(())
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients, order)), order)
    return norm.full_tensor() if hasattr(norm, "full_tensor") else norm


def unit_norms(tensor: Tensor) -> Tensor:
    """L2 norm of each unit, shaped to divide the tensor by.

    >>> unit_norms(torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor([[5.],
            [1.]])
    """
    if tensor.dim() < 2:
        return torch.linalg.vector_norm(tensor)
    return torch.linalg.vector_norm(tensor, dim=tuple(range(1, tensor.dim())), keepdim=True)
