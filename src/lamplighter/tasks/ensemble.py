"""Several networks trained side by side in one run, or finished runs together, that answer as one.

Legend: M members, N rows, K classes or targets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Literal, cast

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lamplighter.core import seeding
from lamplighter.core.errors import DataError, LamplighterError, TrainingError
from lamplighter.core.export_spec import ExportSpec
from lamplighter.core.recipe import Component
from lamplighter.core.registry import FromData
from lamplighter.core.signature import Signature
from lamplighter.data.source import Batch
from lamplighter.data.splits import Splits
from lamplighter.metrics import ensembles
from lamplighter.metrics.score import Score
from lamplighter.nn.ensembled import Combine, EnsembledNetwork
from lamplighter.tasks.base import Loss, Task, for_export
from lamplighter.tasks.vectorised import check_alike, vectorised_losses

MakeTask = Callable[[int, Component | None, Component], Task]
"""Number of a member, its model (None: the recipe's) and task -> the member, freshly initialised with a stream of its
own. Number 0 gets the weights that a run without ensemble begins with."""


class Member(BaseModel):
    """One member of an ensemble of different networks.

    Attributes:
        model: its network; None: the recipe's.
        task: what it was or will be trained as; None: the ensemble's ``of``.
        run: where its weights came from, when it was trained in a run of its own.
        digest: sha256 of those weights.
        temperature: that its logits are divided by before they are combined, fitted on the validation split.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Component | None = None
    task: Component | None = None
    run: str | None = None
    digest: str | None = None
    temperature: Annotated[float, Field(gt=0)] = 1.0


class Ensemble(Task):
    """Trains several networks independently in one run and answers with their combination.

    A *deep ensemble* (Lakshminarayanan et al. 2017): the members differ in their initial weights alone and see the same
    batches. *Bagging* (Breiman 1996): each member learns from its own bootstrap sample, N rows drawn with replacement,
    the same ones in every epoch; the rows it never saw judge it (`lamplighter.evaluate.ensembles.out_of_bag`). Either
    way each member gets exactly the gradients it would get alone (clipping by norm, where it is on, sees the norm over
    all members).

    Answers cost M times the computation of one network. `lamplighter.run.ensembling.ensemble` (``lamp ensemble``)
    combines finished runs instead and writes a recipe with this task.

    Args:
        make_task: makes a member.
        signature: of the data.
        splits: of the data; bagging draws from the training split.
        seed: of the bootstrap, and of the intervals of `scores`.
        members: how many networks like the recipe's ``model``, or a list that gives each a model of its own.
        of: the members' own task; null: classification or regression, by the target.
        combine: soft (mean of the probabilities, or of the numbers), hard (most votes; of equally many the first
            class), weighted (soft with weights), stacking (only made by 'lamp ensemble').
        weights: of the members, at least 0; null: all equal.
        bagging: train each member on a bootstrap sample of the training rows.
        vmap: compute all members in one call, with torch.func.vmap. Pays for many (20 and more) very small networks, or
            on a GPU; they must be alike, and may not be bagged.

    Raises:
        LamplighterError: members, weights and ways of combining that do not go together.
    """

    def __init__(
        self,
        make_task: Annotated[MakeTask, FromData],
        signature: Annotated[Signature, FromData],
        splits: Annotated[Splits | None, FromData] = None,
        seed: Annotated[int, FromData] = 0,
        members: Annotated[int, Field(ge=2, le=1000)] | Annotated[tuple[Member, ...], Field(min_length=2)] = 5,
        of: Component | None = None,
        combine: Literal["soft", "hard", "weighted", "stacking"] = "soft",
        weights: tuple[Annotated[float, Field(ge=0)], ...] | None = None,
        bagging: bool = False,
        vmap: bool = False,
    ) -> None:
        super().__init__()
        self.classes = bool(signature.labels)
        self.of = of or Component(name="classification" if self.classes else "regression")
        self.specs = tuple(Member() for _ in range(members)) if isinstance(members, int) else members
        self.finished = [spec.run for spec in self.specs if spec.run is not None]
        self._check(combine, weights, bagging, vmap)
        made = [make_task(number, spec.model, spec.task or self.of) for number, spec in enumerate(self.specs)]
        self.members = nn.ModuleList(made)
        shares = None if weights is None else ensembles.normalised(weights, len(made)).tolist()
        width = len(signature.labels) or len(signature.targets)
        temperatures = [spec.temperature for spec in self.specs]
        self.combine = Combine(len(made), width, self.classes, combine, shares, temperatures)
        self.monitor, self.positive = made[0].monitor, made[0].positive
        self.seed = seed
        self.positive = made[0].positive
        self.notes = [*made[0].notes]
        self.vmap = vmap
        self.normalises = [any(isinstance(layer, _BatchNorm) for layer in member.modules()) for member in made]
        self.counts_MN: Tensor | None = None
        if bagging:
            if splits is None:
                raise DataError("bagging draws from the training split; this data has none")
            self.counts_MN = torch.from_numpy(bootstrap_counts(len(made), len(splits.train), seed))
        self.wants_index = bagging or any(member.wants_index for member in made)
        if vmap:
            check_alike(made)

    @property
    def tasks(self) -> list[Task]:
        """The members."""
        return cast(list[Task], list(self.members))

    def step(self, batch: Batch) -> Iterator[Loss]:
        if self.finished:
            raise TrainingError(
                f"this ensemble was made of finished runs ({', '.join(self.finished)}), which are trained already; "
                "make it again with 'lamp ensemble'"
            )
        if self.vmap:
            values_M, weight = vectorised_losses(self.tasks, batch)
            yield _summed(list(values_M), weight)
            return
        rows = [self._rows_of(number, batch) for number in range(len(self.members))]
        phases = [task.step(drawn) for task, drawn in zip(self.tasks, rows) if drawn]
        losses = [next(phase) for phase in phases]
        if self.counts_MN is None:
            yield _summed([loss.value for loss in losses], losses[0].weight)
        else:
            absent = [task for task, drawn in zip(self.tasks, rows) if not drawn]
            yield _bagged(losses, absent)
        if any(next(phase, None) is not None for phase in phases):
            raise TrainingError(f"members of an ensemble have one loss; '{self.of.name}' has several")

    def evaluate(self, batch: Batch) -> dict[str, Tensor]:
        """``logits`` (N, K) or ``value`` (N, T) of the ensemble, and ``y``, of the rows that have a target."""
        outputs = [member.evaluate(batch) for member in self.tasks]
        name = "logits" if self.classes else "value"
        return {**outputs[0], name: self.combine([output[name] for output in outputs])}

    def check_targets(self, y: Tensor) -> None:
        for member in self.tasks:
            member.check_targets(y)

    def resolved(self) -> dict[str, Any]:
        """What the members decided from the data."""
        if all(spec.task is None for spec in self.specs):
            return {"of": self.of.replace(**self.tasks[0].resolved()).model_dump(mode="json")}
        specs = [
            spec.model_copy(update={"task": (spec.task or self.of).replace(**task.resolved())})
            for spec, task in zip(self.specs, self.tasks)
        ]
        return {"members": [spec.model_dump(mode="json") for spec in specs]}

    def metrics(self, outputs: dict[str, np.ndarray]) -> dict[str, float]:
        return self.tasks[0].metrics(outputs)

    def scores(self, outputs: dict[str, np.ndarray]) -> dict[str, Score]:
        return self.tasks[0].scores(outputs)

    def compared(self) -> dict[str, Task]:
        """Each member, for the report."""
        names = [spec.run or f"member {number}" for number, spec in enumerate(self.specs, start=1)]
        return {f"{name} ({i})" if names.count(name) > 1 else name: task
                for i, (name, task) in enumerate(zip(names, self.tasks), start=1)}  # fmt: skip

    def export(self) -> ExportSpec:
        specs = [member.export() for member in self.tasks]
        embeds = all("embedding" in spec.outputs for spec in specs)
        network = EnsembledNetwork([spec.module for spec in specs], self.combine, embeds)
        outputs = (specs[0].outputs[0], "embedding") if embeds else (specs[0].outputs[0],)
        return ExportSpec(for_export(network), specs[0].kind, outputs)

    def _rows_of(self, number: int, batch: Batch) -> Batch:
        """What a member learns from: the batch, or its bootstrap sample, a row that was drawn twice standing twice."""
        if self.counts_MN is None:
            return batch
        if "index" not in batch:
            raise TrainingError("bagging needs the position of each row: batch['index']")
        if self.classes and batch["y"].is_floating_point():
            raise TrainingError(
                "bagging and mixed rows (mixup, cutmix) do not go together: a row would reach members that did not "
                "draw it; leave one of them out"
            )
        times_N = self.counts_MN[number, batch["index"].cpu()]
        drawn = torch.repeat_interleave(torch.arange(len(times_N)), times_N).to(batch["index"].device)
        # A row alone has no variance for a BatchNorm to divide by; that happens in a tiny last batch only.
        enough = len(drawn) > (1 if self.normalises[number] else 0)
        return {name: tensor.index_select(0, drawn) for name, tensor in batch.items()} if enough else {}

    def _check(self, combine: str, weights: Sequence[float] | None, bagging: bool, vmap: bool) -> None:
        if combine == "hard" and not self.classes:
            raise LamplighterError("task.combine: hard voting needs classes; numbers are averaged: combine: soft")
        if combine == "weighted" and weights is None:
            raise LamplighterError(
                "task.combine: weighted needs task.weights; 'lamp ensemble RUN RUN --combine weighted' fits them"
            )
        if combine == "stacking" and not self.finished:
            raise LamplighterError(
                "task.combine: stacking is fitted over finished runs: 'lamp ensemble RUN RUN --combine stacking'"
            )
        if bagging and vmap:
            raise LamplighterError("task.vmap: bagged members see different rows; leave out vmap or bagging")
        if weights is not None:
            if combine == "soft":
                raise LamplighterError("task.weights: soft weighs all members alike; use combine: weighted")
            ensembles.normalised(weights, len(self.specs))


def bootstrap_counts(members: int, rows: int, seed: int) -> np.ndarray:
    """How often each member's bootstrap sample holds each row: int64 (M, N), each row of it summing to N.

    >>> counts = bootstrap_counts(2, 1000, seed=0)
    >>> counts.sum(axis=1), (counts == 0).mean(axis=1).round(1)  # 1/e of the rows are out of the bag
    (array([1000, 1000]), array([0.4, 0.4]))
    """
    draws = (seeding.generator(seed, "bootstrap", number).integers(rows, size=rows) for number in range(members))
    return np.stack([np.bincount(drawn, minlength=rows) for drawn in draws])


def _summed(values: Sequence[Tensor], weight: float | Tensor) -> Loss:
    """One loss whose gradient is that of the sum, so that each member learns as if alone; its value is the mean."""
    total = torch.stack(list(values)).sum()
    return Loss(total + (total / len(values) - total).detach(), weight)


def _bagged(losses: Sequence[Loss], absent: Sequence[Task]) -> Loss:
    """`_summed` of members that saw different rows: each row of each sample weighs alike.

    Values times weights and the weight itself are sums over rows, so accumulating micro-batches gives what one large
    batch gives. Members that drew none of the rows get a gradient of 0: processes that train together, and wait for
    each other's gradients, need one for every parameter.
    """
    members = len(losses) + len(absent)
    nothing = [0 * parameter.sum() for task in absent for parameter in task.parameters()]
    weights = [torch.as_tensor(loss.weight, device=loss.value.device) for loss in losses]
    # Where none of a member's rows has a target its mean is NaN.
    sums = [torch.where(own > 0, loss.value, 0) * own for loss, own in zip(losses, weights)]
    weight = torch.stack(weights).sum() / members if weights else torch.zeros(())
    total = torch.stack([*sums, *nothing]).sum() / weight.clamp(min=1e-9)
    return Loss(total + (total / members - total).detach(), weight)
