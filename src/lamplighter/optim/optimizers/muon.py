"""Muon: matrices step along their orthogonalised momentum; everything else by AdamW, in the same optimizer."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from lamplighter.core.registry import FromData
from lamplighter.optim.blocks import hidden_weights
from lamplighter.optim.optimizers.common import Beta, Decay, Groups, Lr, Positive, fused, number
from lamplighter.optim.optimizers.direct import DirectAdamW, uniform

Scaling = Literal["match-rms-adamw", "original"]

_A, _B, _C = 3.4445, -4.7750, 2.0315  # Jordan's polynomial: steep at 0, within 0.7 and 1.2 after five rounds


def muon(
    params: Groups,
    module: Annotated[nn.Module | None, FromData] = None,
    lr: Lr = 1e-3,
    weight_decay: Decay = 0.1,
    momentum: Beta = 0.95,
    nesterov: bool = True,
    ns_steps: Annotated[int, Field(ge=1, le=20)] = 5,
    adjust_lr: Scaling = "match-rms-adamw",
    adamw_factor: Positive = 1.0,
    betas: tuple[Beta, Beta] = (0.9, 0.999),
    eps: Positive = 1e-8,
) -> torch.optim.Optimizer:
    """Momentum made orthogonal, for the hidden weights of a network (Jordan et al. 2024; Liu et al. 2025).

    m <- mu m + (1 - mu) g;  U S V^T = (1 - mu) g + mu m (look-ahead; else m);  w <- w - lr wd w - lr k U V^T.

    A gradient of a matrix is mostly a few directions; U V^T gives all directions the same length. It is approximated by
    ``ns_steps`` rounds of x <- a x + (b xx^T + c (xx^T)^2) x. Hidden weights are the matrices and the kernels (as
    matrices of one row for each output channel) of all blocks but the last. Embeddings, the head, biases, norms and
    other shapes step by AdamW.

    Args:
        params: parameter groups, see `lamplighter.optim.groups`.
        module: tells which weights are hidden; without it, all parameters of two dimensions are.
        lr: learning rate: the size of a step, times the schedule.
        weight_decay: share of each weight taken away in a step, times the learning rate; not from biases and norms.
        momentum: how slowly the mean of the gradient forgets.
        nesterov: look one momentum step ahead.
        ns_steps: rounds of the iteration that makes a matrix orthogonal.
        adjust_lr: k: match-rms-adamw takes 0.2 sqrt(max(rows, columns)), with which steps are as large as AdamW's and
            rates found for AdamW fit; original takes sqrt(max(1, rows / columns)), for rates around 0.02.
        adamw_factor: learning rate of the parameters that step by AdamW, as a multiple of lr.
        betas: how slowly AdamW's means of the gradient and of its square forget.
        eps: keeps AdamW's division finite.
    """
    hidden = None if module is None else hidden_weights(module, [p for group in params for p in group["params"]])
    return Muon(
        params,
        hidden,
        lr=number(lr),
        weight_decay=weight_decay,
        momentum=momentum,
        nesterov=nesterov,
        ns_steps=ns_steps,
        adjust_lr=adjust_lr,
        adamw_factor=adamw_factor,
        betas=betas,
        eps=eps,
    )


class Muon(torch.optim.Optimizer):
    """See `muon`.

    Each group given becomes up to two: its hidden weights (``muon`` True) and the rest. All groups, and the state of
    all parameters, are this optimizer's own, so schedules and checkpoints work as with any other.

    Args:
        params: parameter groups.
        hidden: ids of the parameters that Muon steps; None: those of two dimensions.
        lr: size of a step.
        weight_decay: share of each weight taken away in a step, times lr.
        momentum: how slowly the mean of the gradient forgets.
        nesterov: look one momentum step ahead.
        ns_steps: rounds of the iteration that makes a matrix orthogonal.
        adjust_lr: how the size of a step depends on the shape.
        adamw_factor: learning rate of the others as a multiple of lr.
        betas: of AdamW.
        eps: of AdamW.
        dtype: number type of the iteration; None: bfloat16 on CUDA, elsewhere the parameter's own, at least float32 (a
            CPU without 16-bit matrix units takes five times as long in bfloat16).
    """

    def __init__(
        self,
        params: list[dict[str, Any]],
        hidden: Collection[int] | None = None,
        *,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_steps: int = 5,
        adjust_lr: Scaling = "match-rms-adamw",
        adamw_factor: float = 1.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        dtype: torch.dtype | None = None,
    ) -> None:
        groups: list[dict[str, Any]] = []
        for group in params:
            own = [(id(p) in hidden if hidden is not None else p.dim() == 2) for p in group["params"]]
            for muon in (True, False):
                chosen = [p for p, is_hidden in zip(group["params"], own) if is_hidden == muon]
                if chosen:
                    rate = group.get("lr", lr) * (1.0 if muon else adamw_factor)
                    groups.append({**group, "params": chosen, "muon": muon, "lr": rate})
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_steps": ns_steps,
            "adjust_lr": adjust_lr,
            "betas": betas,
            "eps": eps,
            "dtype": dtype,
            "muon": False,
        }
        super().__init__(groups, defaults)
        self._others: torch.optim.AdamW | None = None
        self._adamw()

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step.

        Args:
            closure: computes loss and gradients anew; its result is returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group["muon"]:
                for p in group["params"]:
                    if p.grad is not None:
                        self._step(p, p.grad, group)
        adamw = self._adamw()
        if adamw is not None:
            adamw.step()
        return loss

    def _step(self, p: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(p)
        m = state["momentum"]
        m.lerp_(gradient, 1 - group["momentum"])
        update = gradient.lerp(m, group["momentum"]) if group["nesterov"] else m
        matrix = _whole(update).flatten(1)
        direction = orthogonalised(matrix, group["ns_steps"], group["dtype"]).to(p.dtype).view(p.shape)
        rows, columns = matrix.shape
        if group["adjust_lr"] == "original":
            scale = math.sqrt(max(1, rows / columns))
        else:
            scale = 0.2 * math.sqrt(max(rows, columns))
        p.mul_(1 - group["lr"] * group["weight_decay"])
        p.add_(_shared_like(direction, p), alpha=-group["lr"] * scale)

    def _adamw(self) -> torch.optim.AdamW | None:
        """torch's AdamW over the groups that are not Muon's, on our own dicts: what it writes there is ours."""
        groups = [group for group in self.param_groups if not group["muon"]]
        if not groups:
            return None
        adamw = self.__dict__.get("_others")  # a copy of an optimizer has only its groups and its state
        if adamw is None:
            one_kernel = fused(groups, shards=True)
            make = DirectAdamW if one_kernel and uniform(groups) else torch.optim.AdamW
            adamw = self._others = make(groups, fused=one_kernel)
        for group in groups:
            for name, value in adamw.defaults.items():
                group.setdefault(name, value)
        adamw.param_groups, adamw.state = groups, self.state
        return adamw


def orthogonalised(matrix: Tensor, steps: int = 5, dtype: torch.dtype | None = None) -> Tensor:
    """U S' V^T for U S V^T, where the entries of S' are near 1: between 0.7 and 1.2 unless those of S differ too much.

    Args:
        matrix: (rows, columns).
        steps: rounds.
        dtype: number type of the rounds; see `Muon`.

    >>> u = torch.linalg.svdvals(orthogonalised(torch.tensor([[3.0, 0.0], [0.0, 0.2]])))
    >>> [round(float(s), 1) for s in u]
    [1.1, 0.7]
    """
    if dtype is None:
        dtype = torch.bfloat16 if matrix.is_cuda else torch.promote_types(matrix.dtype, torch.float32)
    tall = matrix.size(0) > matrix.size(1)
    x = matrix.to(dtype)
    x = x.T if tall else x
    x = x / x.norm().clamp(min=1e-7)  # the largest singular value is at most 1
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return x.T if tall else x


def _whole(tensor: Tensor) -> Tensor:
    """All of a tensor that is sharded over processes; others as they are."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def _shared_like(whole: Tensor, example: Any) -> Tensor:
    """This process's part of a tensor, when the example is sharded."""
    if not hasattr(example, "full_tensor"):
        return whole
    from torch.distributed.tensor import distribute_tensor

    # Every process computed the whole: nothing has to be sent.
    return distribute_tensor(whole, example.device_mesh, example.placements, src_data_rank=None)
