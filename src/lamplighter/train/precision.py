"""Number formats and memory layout of training: fixed by the recipe, or measured once and written down."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from lamplighter.data.source import Batch
from lamplighter.tasks.base import Task
from lamplighter.train import rng

Name = Literal["fp32", "bf16", "fp16"]
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_WORTH = 1.1
_ROUNDS = 3
_SECONDS = 6.0


@dataclass(frozen=True)
class Precision:
    """How a step computes.

    Attributes:
        name: ``fp32``; ``bf16`` and ``fp16`` compute matrix products in 16 bits under autocast, weights stay float32.
        channels_last: keep images and kernels in NHWC memory order, which most convolution kernels are fastest with.
    """

    name: Name
    channels_last: bool

    def autocast(self, device: torch.device) -> contextlib.AbstractContextManager[Any]:
        """The context each forward pass runs in; may be entered again and again."""
        if self.name == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(device.type, dtype=_DTYPES[self.name])

    def scaler(self, device: torch.device) -> torch.amp.GradScaler:
        """Scales losses so that small fp16 gradients do not vanish; does nothing in other formats."""
        return torch.amp.GradScaler(device.type, enabled=self.name == "fp16")

    def prepare(self, task: Task) -> None:
        """Bring kernels into the memory order, in place."""
        if self.channels_last:
            task.to(memory_format=torch.channels_last)


def fixed(name: Name, channels_last: bool | None, batch: Batch) -> Precision:
    """What a recipe without ``auto`` means: with 16 bits, images are channels_last unless it says otherwise."""
    return Precision(name, channels_last if channels_last is not None else name != "fp32" and has_images(batch))


def choose(
    task: Task, batch: Batch, device: torch.device, channels_last: bool | None = None
) -> tuple[Precision, dict[str, float | str]]:
    """Measure the training step of this network on this batch and device, and take what is fastest.

    fp32 keeps its place unless something else is at least 1.1 times as fast, and bf16 has to beat fp32 in the better
    memory order by as much. On CUDA bf16 is taken without measuring where the device has it; MPS computes in fp32.
    The task, its buffers and the random generators are left as they were.

    Args:
        task: on ``device``.
        batch: as the task takes it, on ``device``.
        device: where training will run.
        channels_last: fixed by the recipe, or None.

    Returns:
        The choice, and milliseconds for each candidate (a text where it could not run).
    """
    images = has_images(batch)
    layouts = [channels_last] if channels_last is not None else [False, True] if images else [False]
    best_layout = layouts[-1]
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return Precision("bf16", best_layout), {}
    if device.type != "cpu":
        return Precision("fp32", layouts[0]), {}
    candidates = [Precision("fp32", layout) for layout in layouts] + [Precision("bf16", best_layout)]
    with rng.untouched():
        timings = _race(task, batch, device, candidates)
    best = candidates[0]
    for candidate in candidates[1:]:
        if _speed(timings, candidate) >= _WORTH * _speed(timings, best):
            best = candidate
    return best, {label(candidate): timings[candidate] for candidate in candidates}


def label(precision: Precision) -> str:
    """``bf16 channels_last``: for logs."""
    return f"{precision.name} channels_last" if precision.channels_last else precision.name


def has_images(batch: Batch) -> bool:
    """Whether a tensor has four dimensions, to which a memory order applies."""
    return any(tensor.dim() == 4 for tensor in batch.values())


def to_layout(batch: Batch, precision: Precision) -> Batch:
    """Images in the memory order; tensors that have it already are not copied."""
    if not precision.channels_last:
        return batch
    return {name: _channels_last(tensor) if tensor.dim() == 4 else tensor for name, tensor in batch.items()}


def _channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last)


def _race(task: Task, batch: Batch, device: torch.device, candidates: list[Precision]) -> dict[Precision, float | str]:
    """Best time of a step for each candidate, in ms. Rounds alternate, so that a busy moment hits all alike."""
    steps: dict[Precision, Callable[[], None]] = {}
    timings: dict[Precision, float | str] = {}
    began = time.perf_counter()
    for candidate in candidates:
        step = _step(task, batch, device, candidate)
        try:
            step()  # the first run pays for set-up
        except RuntimeError as error:
            if candidate.name == "fp32":
                raise
            timings[candidate] = f"cannot run: {str(error).splitlines()[0]}"
            continue
        steps[candidate] = step
    for round_ in range(_ROUNDS):
        for candidate, step in steps.items():
            start = time.perf_counter()
            step()
            milliseconds = (time.perf_counter() - start) * 1000
            before = timings.get(candidate)
            timings[candidate] = round(min(milliseconds, before) if isinstance(before, float) else milliseconds, 3)
        if round_ and time.perf_counter() - began > _SECONDS:
            break
    return timings


def _step(task: Task, batch: Batch, device: torch.device, precision: Precision) -> Callable[[], None]:
    """One forward and backward pass of a copy."""
    twin = copy.deepcopy(task)
    twin.train()
    precision.prepare(twin)
    prepared = to_layout(batch, precision)
    autocast = precision.autocast(device)

    def step() -> None:
        twin.zero_grad(set_to_none=True)
        losses = twin.step(prepared)
        while True:
            with autocast:
                loss = next(losses, None)
            if loss is None:
                return
            loss.value.backward(retain_graph=loss.retain_graph)

    return step


def _speed(timings: dict[Precision, float | str], precision: Precision) -> float:
    milliseconds = timings[precision]
    return 1 / milliseconds if isinstance(milliseconds, float) and milliseconds > 0 else 0.0
