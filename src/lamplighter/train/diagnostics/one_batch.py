"""Can the network learn a single batch by heart? If not, no amount of data will help: something is wired wrongly."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch

from lamplighter.data.source import Batch
from lamplighter.tasks.base import Task
from lamplighter.train.diagnostics.loss_floor import conflicting_rows, loss_floor
from lamplighter.train.diagnostics.phases import phases
from lamplighter.train.undisturbed import task_undisturbed

Verdict = Literal["ok", "partly", "not learned", "dead", "wrong sign", "not finite"]

LEARNED = 0.9
"""Share of the way from the first loss down to the floor that has to be covered."""
NOTHING = 0.1
"""Share of the way from the loss of one constant answer down to the floor below which the inputs played no part."""
_ENOUGH = 0.98


@dataclass(frozen=True)
class OneBatch:
    """What became of the loss on one batch.

    Attributes:
        verdict: ``ok``; ``partly``: the loss ends well above its floor; or what is wrong.
        reason: the same as a sentence.
        rows: of the batch.
        losses: of each step; a task with several optimizers has their sum.
        floor: the lowest loss that any network could have, see `loss_floor`; None when it is not known.
        constant: the lowest loss of one answer for all rows.
        covered: share of the way from the first loss to the floor.
        before: the task's metrics on the batch before; empty when it has none.
        after: and afterwards.
        conflicts: rows with an input that another row has with a different target; nobody can learn all of them.
    """

    verdict: Verdict
    reason: str
    rows: int
    losses: tuple[float, ...]
    floor: float | None
    constant: float | None
    covered: float
    before: dict[str, float]
    after: dict[str, float]
    conflicts: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data; numbers that are not finite become None, which JSON has."""
        plain = asdict(self)
        plain["losses"] = [_finite(loss) for loss in self.losses]
        for name in ("floor", "constant", "covered"):
            plain[name] = _finite(plain[name])
        for name in ("before", "after"):
            plain[name] = {metric: _finite(value) for metric, value in plain[name].items()}
        return plain


def overfit_one_batch(task: Task, batch: Batch, *, steps: int = 600, lr: float = 3e-3) -> OneBatch:
    """Train on one batch with Adam until its loss is near its floor. The task is left as it was.

    Everything that makes learning by heart harder is left out: dropout, augmentation, weight decay, schedule and the
    recipe's learning rate, which other examinations judge. What remains are data, network and loss.

    Args:
        task: on the batch's device.
        batch: as the task takes it; some dozens of rows.
        steps: at most.
        lr: of Adam.
    """
    floor, constant = loss_floor(task, batch), loss_floor(task, batch, constant=True)
    rows = len(next(iter(batch.values())))
    with task_undisturbed(task):
        task.train()
        for layer in task.modules():
            if re.search("drop|stochasticdepth", type(layer).__name__.lower()):
                layer.eval()
        before = _metrics(task, batch)
        losses, largest = _train(task, batch, floor, steps, lr)
        after = _metrics(task, batch)
    covered = _covered(losses, floor)
    verdict, reason = _judged(task, losses, largest, floor, constant, covered, before, after)
    return OneBatch(
        verdict, reason, rows, tuple(losses), floor, constant, covered, before, after, conflicting_rows(batch)
    )


def _train(task: Task, batch: Batch, floor: float | None, steps: int, lr: float) -> tuple[list[float], float]:
    """Losses of the steps, and the largest entry of all gradients of the first."""
    optimizers = {
        name: torch.optim.Adam([p for _, p in task.parameters_of(name) if p.requires_grad], lr=lr)
        for name in task.optimizers
    }
    losses: list[float] = []
    largest = 0.0
    for step in range(steps):
        total = 0.0
        for loss in phases(task, batch):
            total += float(loss.value.detach())
            if loss.value.requires_grad:
                loss.value.backward(retain_graph=loss.retain_graph)
            if step == 0:
                gradients = [p.grad for p in task.parameters() if p.grad is not None]
                largest = max([largest, *(float(gradient.abs().max()) for gradient in gradients)])
            optimizers[loss.optimizer].step()
            for parameter in task.parameters():
                parameter.grad = None
        losses.append(total)
        if not math.isfinite(total) or _covered(losses, floor) >= _ENOUGH:
            break
    return losses, largest


def _covered(losses: list[float], floor: float | None) -> float:
    """Share of the way from the first to the lowest possible loss; without a floor, of the way to 0."""
    first, last = losses[0], losses[-1]
    bottom = 0.0 if floor is None else floor
    if not math.isfinite(last) or not math.isfinite(bottom):
        return math.nan
    way = first - bottom
    return 1.0 if way <= 1e-3 * max(1.0, abs(first)) else (first - last) / way


def _judged(
    task: Task,
    losses: list[float],
    largest: float,
    floor: float | None,
    constant: float | None,
    covered: float,
    before: dict[str, float],
    after: dict[str, float],
) -> tuple[Verdict, str]:
    first, last = losses[0], losses[-1]
    if not math.isfinite(last):
        return "not finite", f"the loss became {last} after {len(losses)} steps on one batch"
    if floor == -math.inf or (floor is None and last < -10 * max(1.0, abs(first))):
        return "wrong sign", (
            f"the loss has no lower bound: it fell from {first:.4g} to {last:.4g} and would go on falling; is its sign "
            "right?"
        )
    if largest == 0:
        return "dead", "every gradient is 0: the loss does not depend on the weights"
    if last < first and (worse := _worse(task, before, after)):
        return "wrong sign", (
            f"the loss fell from {first:.4g} to {last:.4g}, but {worse}; does the loss have the right sign?"
        )
    met = f"after {len(losses)} steps on one batch the loss is {last:.4g}, from {first:.4g} at the start"
    if floor is not None and constant is not None and constant - floor > 1e-3 * max(1.0, abs(first)):
        if constant - last < NOTHING * (constant - floor):
            return "not learned", (
                f"{met}; one constant answer for all rows would have {constant:.4g}. The inputs are lost on the way, "
                "or gradients do not reach the layers that see them"
            )
    elif not covered >= NOTHING:
        return "not learned", f"{met}: next to nothing was learned"
    if not covered >= LEARNED:
        near = (
            f"; a network that could learn everything by heart would come near {floor:.4g}" if floor is not None else ""
        )
        return "partly", f"{met}{near}. This one is too small for that, or learns slowly"
    bottom = f", its floor is {floor:.4g}" if floor is not None else ""
    return "ok", f"the loss fell from {first:.4g} to {last:.4g} in {len(losses)} steps{bottom}"


def _worse(task: Task, before: dict[str, float], after: dict[str, float]) -> str:
    """Words for a metric that got clearly worse by learning; the monitored one, or the loss measured by itself."""
    metric, mode = task.monitor
    for name, sign in ((metric, 1 if mode == "max" else -1), ("loss", -1)):
        if name in before and name in after and math.isfinite(before[name]):
            lost = sign * (before[name] - after[name])
            if not math.isfinite(after[name]) or lost > 0.1 * max(abs(before[name]), 0.1):
                return f"the metric '{name}' went from {before[name]:.4g} to {after[name]:.4g}"
    return ""


def _metrics(task: Task, batch: Batch) -> dict[str, float]:
    """The task's metrics on the batch, computed as the loss is (BatchNorm by the batch); none for a task without."""
    try:
        with torch.no_grad():
            outputs = {name: np.asarray(tensor.cpu()) for name, tensor in task.evaluate(batch).items()}
        return task.metrics(outputs)
    except NotImplementedError:
        return {}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
