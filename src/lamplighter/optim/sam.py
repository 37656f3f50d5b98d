"""SAM: each step learns from the worst point nearby, in two passes that the training loop takes for two optimizers.

A training loop that steps once for every loss a task yields needs to know nothing of it::

    ascent = Ascent(main, rho=0.05)
    optimizers = {"main": main, "ascent": ascent}
    step = two_passes(task.step, task, ascent)      # in place of task.step
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lamplighter.core.errors import TrainingError
from lamplighter.optim.clipping import total_norm

ASCENT = "ascent"
"""Name of the optimizer of the first pass."""


L = TypeVar("L", bound=Any)  # what a task yields: a dataclass with value, optimizer, metrics and logged


class Ascent(torch.optim.Optimizer):
    """Its step climbs from w to w + rho g / |g|; the main optimizer's next step begins by going back to w
    (Foret et al. 2021, "Sharpness-Aware Minimization for Efficiently Improving Generalization").

    |g| is the length of all gradients together; averaged over micro-batches and processes, so that every process climbs
    to the same point. Nothing is remembered from one step to the next, so a checkpoint holds nothing of it.

    Args:
        main: the optimizer whose parameters are moved.
        rho: how far to climb.

    >>> w = nn.Parameter(torch.tensor([3.0, 4.0]))
    >>> main = torch.optim.SGD([w], lr=1.0)
    >>> ascent = Ascent(main, rho=0.5)
    >>> w.grad = torch.tensor([3.0, 4.0])
    >>> ascent.step()
    >>> [round(x, 4) for x in w.tolist()]
    [3.3, 4.4]
    >>> ascent.restore()
    >>> w.tolist()
    [3.0, 4.0]
    """

    def __init__(self, main: torch.optim.Optimizer, rho: float = 0.05) -> None:
        parameters = [parameter for group in main.param_groups for parameter in group["params"]]
        super().__init__(parameters, {"lr": 1.0, "rho": rho})  # loops write a rate into every group; it does not count
        self._below: list[tuple[Tensor, Tensor]] = []
        main.register_step_pre_hook(lambda *_: self.restore())

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Climb. Weights that are up already go back first.

        Args:
            closure: computes loss and gradients anew; its result is returned.
        """
        self.restore()
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        (group,) = self.param_groups
        moved = [p for p in group["params"] if p.grad is not None]
        if moved:
            norm = total_norm([p.grad for p in moved])
            scale = group["rho"] / norm.clamp(min=1e-12)
            self._below = [(p, p.detach().clone()) for p in moved]
            for p in moved:
                p.add_(p.grad * scale)
        return loss

    @torch.no_grad()
    def restore(self) -> None:
        """Back to where the last climb began, bit for bit; nothing when that happened already."""
        for parameter, before in self._below:
            parameter.copy_(before)
        self._below = []


def two_passes(step: Callable[[Any], Iterator[L]], module: nn.Module, ascent: Ascent) -> Callable[[Any], Iterator[L]]:
    """A task's ``step`` run twice: its loss at w for the optimizer ``"ascent"``, then its loss above for its own.

    What is logged is the loss at w with its metrics; only the gradient is that of the second pass. Both passes draw the
    same random numbers, so a dropout mask is part of the one function whose neighbourhood is looked at, and the stream
    goes on as after a single pass. Buffers (running statistics of normalisations) are those of the first pass: the
    second sees weights that are never used. Code after the task's ``yield`` runs once, after the main step.

    Weights are always below again afterwards, also when the main optimizer's step was left out, or an error came.

    Args:
        step: a generator of losses of one micro-batch; must yield exactly one.
        module: holds the networks.
        ascent: of the optimizer that the loss names.

    Raises:
        TrainingError: the task yields several losses.
    """

    def both(batch: Any) -> Iterator[L]:
        state = _random_state(module)
        first = step(batch)
        loss = next(first, None)
        if loss is None:
            return
        first.close()  # type: ignore[attr-defined]
        value, metrics, logged = loss.value.detach(), loss.metrics, loss.logged
        try:
            yield dataclasses.replace(loss, optimizer=ASCENT, logged=False)
            del loss
            with _replayed(state, module), _buffers_aside(module):
                second = step(batch)
                above = next(second)
            shown = above.value - above.value.detach() + value
            yield dataclasses.replace(above, value=shown, metrics=metrics, logged=logged)
        finally:
            ascent.restore()
        if next(second, None) is not None:
            raise TrainingError("train.sam needs a task with one loss in each step; this one has several")

    return both


@contextlib.contextmanager
def _buffers_aside(module: nn.Module) -> Iterator[None]:
    """Whatever is written into buffers inside is written into copies.

    Copies stand in, rather than old values being put back: the graph may still need what the pass read.
    """
    originals = [
        (layer, name, buffer)
        for layer in module.modules()
        for name, buffer in layer.named_buffers(recurse=False, remove_duplicate=False)
    ]
    for layer, name, buffer in originals:
        layer._buffers[name] = buffer.clone()
    try:
        yield
    finally:
        for layer, name, buffer in originals:
            layer._buffers[name] = buffer


def _random_state(module: nn.Module) -> dict[torch.device, Tensor]:
    """States of the global generators that the module's devices draw from."""
    devices = {tensor.device for tensor in module.parameters()} | {torch.device("cpu")}
    return {device: _generator(device).get_state() for device in devices if device.type in ("cpu", "cuda", "mps")}


@contextlib.contextmanager
def _replayed(state: dict[torch.device, Tensor], module: nn.Module) -> Iterator[None]:
    """The generators draw inside what they drew after ``state``, and go on afterwards as if nothing had been drawn."""
    now = _random_state(module)
    for device, value in state.items():
        _generator(device).set_state(value)
    try:
        yield
    finally:
        for device, value in now.items():
            _generator(device).set_state(value)


def _generator(device: torch.device) -> torch.Generator:
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        return torch.cuda.default_generators[index]
    if device.type == "mps":
        return torch.mps._get_default_mps_generator()
    return torch.default_generator
