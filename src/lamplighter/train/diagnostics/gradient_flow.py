"""Do gradients reach every layer? Norms from the first layer to the last, before a training that cannot work."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from lamplighter.data.source import Batch
from lamplighter.tasks.base import Task
from lamplighter.train.diagnostics.phases import backward, norm, phases
from lamplighter.train.trial import nominal_rate, trial
from lamplighter.train.undisturbed import task_undisturbed

if TYPE_CHECKING:
    from lamplighter.train.trainer import Trainer

Verdict = Literal["ok", "vanishing", "exploding", "dead", "not finite"]

VANISHING = 1e-3
"""Gradient of the first layer over that of the last, below which the first layers hardly learn. Of networks of 20
layers with 64 units those that train are between 0.01 and 20, those that do not below 1e-6."""

EXPLODING = 1000.0
"""Gradient over weight, above which a step of plain gradient descent with rate 0.001 replaces the weights."""


@dataclass(frozen=True)
class LayerGradient:
    """One layer: a module with weight matrices or kernels of its own.

    Attributes:
        layer: dotted name.
        kind: class.
        optimizer: the one that trains it.
        weight: Euclidean norm of its weights (parameters of two dimensions or more).
        gradient: Euclidean norm of their gradient; None when the layer takes no part in the loss.
        update: change of the weights in one optimizer step over their norm; None when it was not measured.
    """

    layer: str
    kind: str
    optimizer: str
    weight: float
    gradient: float | None
    update: float | None = None


@dataclass(frozen=True)
class GradientFlow:
    """The layers in the order in which they compute, and what to make of them.

    Attributes:
        layers: first to last.
        ratios: gradient of the first layer over that of the last, for each optimizer.
        verdict: the worst that was found.
        findings: one sentence for each thing that is wrong.
    """

    layers: tuple[LayerGradient, ...]
    ratios: dict[str, float]
    verdict: Verdict
    findings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def gradient_flow(
    task: Task,
    batch: Batch,
    *,
    autocast: contextlib.AbstractContextManager[Any] | None = None,
    updates: Mapping[str, float] | None = None,
) -> GradientFlow:
    """Compute the gradients of one batch in training mode and look at each layer's. The task is left as it was.

    Backpropagation multiplies by one Jacobian for each layer. Where they shrink, the first layers hear nothing of the
    loss (vanishing); where they stretch, those are thrown about (exploding; Bengio, Simard and Frasconi 1994, Glorot
    and Bengio 2010).

    Args:
        task: on the batch's device.
        batch: as the task takes it; some dozens of rows do.
        autocast: the precision of the forward pass; None for that of the weights.
        updates: of `update_ratios`, shown beside the gradients.
    """
    updates = updates or {}
    modules = dict(task.named_modules())
    found: dict[str, LayerGradient] = {}
    with task_undisturbed(task, parameters=False):
        task.train()
        with _order_of_calls(task) as called:
            for loss in phases(task, batch, autocast):
                for layer, members in backward(task, loss).items():
                    matrices = [parameter for _, parameter in members if parameter.dim() >= 2]
                    if not matrices:
                        continue
                    gradients = [parameter.grad for parameter in matrices if parameter.grad is not None]
                    strength = norm(gradients) if gradients else None
                    before = found.get(layer)
                    if before is None or (strength is not None and strength > (before.gradient or 0.0)):
                        kind = type(modules[layer]).__name__
                        found[layer] = LayerGradient(
                            layer, kind, loss.optimizer, norm(list(matrices)), strength, updates.get(layer)
                        )
    ordered = sorted(found.values(), key=lambda each: called.get(each.layer, len(called)))
    return _judged(tuple(ordered))


def update_ratios(trainer: Trainer, lr: float | None = None) -> dict[str, float]:
    """Size of one optimizer step over the size of the weights, for each layer; the trainer is left as it was.

    About 1e-3 is usual. Much less hardly learns, more than 0.1 replaces what was learned. The step is a real one, with
    the trainer's clipping, precision and accumulation.

    Args:
        trainer: as it would train; stands afterwards where it stood.
        lr: learning rate of the step; None for the recipe's, the peak of its schedule.
    """
    with trial(trainer) as step:
        before = {name: p.detach().clone() for name, p in trainer.task.named_parameters()}
        step(nominal_rate(trainer) if lr is None else lr)
        layers: dict[str, tuple[list[torch.Tensor], list[torch.Tensor]]] = {}
        for name, parameter in trainer.task.named_parameters():
            if parameter.dim() >= 2 and parameter.requires_grad:
                changes, weights = layers.setdefault(name.rpartition(".")[0], ([], []))
                changes.append(parameter.detach() - before[name])
                weights.append(before[name])
    return {layer: norm(changes) / max(norm(weights), 1e-30) for layer, (changes, weights) in layers.items()}


@contextlib.contextmanager
def _order_of_calls(task: nn.Module) -> Iterator[dict[str, int]]:
    """Name of each module -> when it was called for the first time."""
    called: dict[str, int] = {}

    def note(name: str) -> None:
        called.setdefault(name, len(called))

    hooks = [
        module.register_forward_pre_hook(lambda _m, _x, name=name: note(name)) for name, module in task.named_modules()
    ]
    try:
        yield called
    finally:
        for hook in hooks:
            hook.remove()


def _judged(layers: tuple[LayerGradient, ...]) -> GradientFlow:
    ratios: dict[str, float] = {}
    findings: list[str] = []
    verdicts: list[Verdict] = []
    for optimizer in dict.fromkeys(layer.optimizer for layer in layers):
        mine = [layer for layer in layers if layer.optimizer == optimizer]
        reached = [(layer, layer.gradient) for layer in mine if layer.gradient is not None]
        unreached = [layer.layer for layer in mine if layer.gradient is None]
        broken = [layer.layer for layer, gradient in reached if not math.isfinite(gradient)]
        if broken:
            verdicts.append("not finite")
            findings.append(f"the gradient of {_listed(broken)} is not finite")
            continue
        if not any(gradient > 0 for _, gradient in reached):
            verdicts.append("dead")
            findings.append("every gradient is 0: the loss does not depend on the weights")
            continue
        if unreached:
            findings.append(f"{_listed(unreached)} takes no part in the loss and will not learn")
        (first, top), (last, bottom) = reached[0], reached[-1]
        ratios[optimizer] = top / bottom if bottom > 0 else math.inf
        strong = [layer.layer for layer, gradient in reached if gradient > EXPLODING * max(layer.weight, 1e-30)]
        if strong or ratios[optimizer] > 1 / VANISHING:
            verdicts.append("exploding")
            where = _listed(strong or [first.layer])
            findings.append(
                f"gradients explode: that of {where} is enormous beside its weights; use a normalisation layer or He "
                "initialisation, standardise the inputs, or clip gradients (train.clip)"
            )
        elif ratios[optimizer] < VANISHING:
            verdicts.append("vanishing")
            findings.append(
                f"gradients vanish: that of the first layer ({first.layer}) is {ratios[optimizer]:.1g} of that of the "
                f"last ({last.layer}), so the first layers hardly learn; use ReLU with He initialisation, a "
                "normalisation layer, or residual connections"
            )
    worst: list[Verdict] = ["not finite", "dead", "exploding", "vanishing"]
    verdict: Verdict = next((each for each in worst if each in verdicts), "ok")
    return GradientFlow(layers, ratios, verdict, tuple(findings))


def _listed(names: list[str]) -> str:
    """``a``, ``a, b and 3 more``.

    >>> _listed(["a", "b", "c", "d"]), _listed(["a"])
    ('a, b, c and 1 more', 'a')
    """
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
