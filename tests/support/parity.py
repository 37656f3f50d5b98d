"""Holding a network against an independent one: random weights and buffers, outputs, gradients, running statistics.

The rule (DESIGN, section 5): float64, everything randomised, 1e-10 of the largest number of the reference. At the usual
1e-5 in float32 a wrong epsilon or a wrong GELU passes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lamplighter import models

LIMIT = 1e-10


def randomised(model: nn.Module, seed: int = 0) -> nn.Module:
    """All parameters and buffers random: fan-in scaled matrices, vectors around 0, variances in [0.5, 1.5]."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif tensor.is_floating_point():
                scale = tensor[0].numel() ** -0.5 if tensor.dim() > 1 else 1.0
                tensor.copy_(scale * torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype))
    return model


def noise(*shape: int, seed: int = 1) -> Tensor:
    """Standard normal numbers in float64."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def relative(ours: Tensor, reference: Tensor, least: float = 0.0) -> float:
    """Largest difference, as a share of the reference's largest number, or of ``least`` if that is larger."""
    assert ours.shape == reference.shape, (ours.shape, reference.shape)
    if not ours.numel():
        return 0.0
    scale = max(float(reference.detach().abs().max()), least)
    return float((ours - reference).detach().abs().max() / (scale if scale > 0 else 1))


@dataclass(frozen=True)
class Case:
    """A registered model beside its reference.

    Attributes:
        model: its name in the registry.
        reference: what it is held against, for the table in the docs.
        ours: makes our model, float32; loaded strictly through ``models.load_reference``.
        theirs: makes the reference, float32.
        inputs: makes what both take, float64 or integers; random floats get a gradient.
        call_ours, call_theirs: run a model on ``inputs`` and give one tensor, or a tuple or dict of them.
        train: also compare in training mode (off where dropout cannot be switched off).
        slow: full size; runs with ``-m slow``.
        variant: tells several cases of one model apart.
        mutations: plausible mistakes, each a function that changes our model in place; each must be seen.
    """

    model: str
    reference: str
    ours: Callable[[], nn.Module]
    theirs: Callable[[], nn.Module]
    inputs: Callable[[], tuple[Any, ...]]
    call_ours: Callable[..., Any] = field(default=lambda model, *inputs: model(*inputs))
    call_theirs: Callable[..., Any] = field(default=lambda model, *inputs: model(*inputs))
    train: bool = True
    slow: bool = False
    variant: str = ""
    mutations: tuple[Callable[[Any], None], ...] = ()

    @property
    def id(self) -> str:
        return "-".join(part for part in (self.model, self.variant) if part)


def pair(case: Case) -> tuple[nn.Module, nn.Module]:
    """Ours and theirs with the same random weights, loaded strictly by name."""
    reference = randomised(case.theirs().double())
    ours = case.ours().double()
    models.load_reference(ours, reference.state_dict())
    return ours, reference


def worst(
    ours: nn.Module,
    reference: nn.Module,
    inputs: tuple[Any, ...],
    call_ours: Callable[..., Any] = lambda model, *inputs: model(*inputs),
    call_theirs: Callable[..., Any] = lambda model, *inputs: model(*inputs),
    train: bool = True,
) -> dict[str, float]:
    """Relative errors of the outputs, of every gradient (inputs' too), and of every buffer after a step of training.

    Gradients are compared tensor by tensor as the loader put them: of parameters under the same name in both.
    """
    with torch.no_grad():
        found = {"eval": _errors(call_ours(ours.eval(), *inputs), call_theirs(reference.eval(), *inputs))}
    mode = "train" if train else "eval"
    ours_in, theirs_in = _with_gradients(inputs), _with_gradients(inputs)
    outputs = call_ours(ours.train(train), *ours_in), call_theirs(reference.train(train), *theirs_in)
    found[mode] = _errors(*outputs)
    for output in outputs:
        total = sum(
            (t * torch.linspace(-1, 1, t.numel(), dtype=t.dtype).view_as(t)).sum()
            for t in _tensors(output)
            if t.is_floating_point()
        )
        total.backward()  # type: ignore[union-attr]
    expected = {n: p.grad for n, p in reference.named_parameters() if p.grad is not None}
    same = {n: p.grad for n, p in ours.named_parameters() if p.grad is not None and n in expected}
    if same:
        # Some gradients are 0 but for rounding: the bias of attention's keys adds the same to all scores of a query.
        least = 1e-4 * max(float(gradient.abs().max()) for gradient in expected.values())
        found["gradients"] = max(relative(gradient, expected[name], least) for name, gradient in same.items())
    floats = [(a, b) for a, b in zip(ours_in, theirs_in) if isinstance(a, Tensor) and a.requires_grad]
    if floats:
        found["input gradients"] = max(relative(a.grad, b.grad) for a, b in floats)  # type: ignore[arg-type]
    theirs = dict(reference.named_buffers())
    buffers = [(b, theirs[n]) for n, b in ours.named_buffers() if n in theirs]
    if buffers:
        found["buffers"] = max(relative(a.double(), b.double()) for a, b in buffers)
    return found


def _with_gradients(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        x.clone().requires_grad_(True) if isinstance(x, Tensor) and x.is_floating_point() else x for x in inputs
    )


def _tensors(output: Any) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    values = output.values() if isinstance(output, dict) else output
    return [tensor for value in values if value is not None for tensor in _tensors(value)]


def _errors(ours: Any, theirs: Any) -> float:
    pairs = list(zip(_tensors(ours), _tensors(theirs), strict=True))
    assert pairs
    return max(relative(a, b) for a, b in pairs)
