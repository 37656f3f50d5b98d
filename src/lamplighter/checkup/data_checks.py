"""The data before training: leaks between splits, classes too rare to learn, equal rows with different targets."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lamplighter.checkup.result import Check
from lamplighter.core.seeding import generator
from lamplighter.data import leakage
from lamplighter.data.source import Batch, Rows, Source
from lamplighter.evaluate.overfitting import constant_answer
from lamplighter.tasks.base import Task
from lamplighter.train.diagnostics.loss_floor import conflicting_rows
from lamplighter.train.evaluation import evaluate

FEW = 10
"""Training rows of a class below which nobody should expect it to be learned."""
UNEVEN = 10.0
"""How much more often the most frequent class may occur than the rarest before a word about it."""
_SAMPLE = 2000
_BYTES = 256 * 2**20


def look_at_data(source: Source, seed: int) -> tuple[dict[str, Any], list[Check]]:
    """Counts, and what is conspicuous.

    Looking for rows that stand in two splits reads the inputs of the test rows, too; their targets stay unseen.

    Args:
        source: of the recipe.
        seed: of the samples.
    """
    facts: dict[str, Any] = {
        "rows": {name: len(source.split(name)) for name in ("train", "val", "test")},
        "inputs": [f"{tensor.name} {tensor.dtype} {list(tensor.shape)}" for tensor in source.signature.tensors],
        "targets": [f"{target.name} ({target.kind})" for target in source.signature.targets],
        "classes": {},
    }
    checks = [Check("splits", "wrong" if each.certain else "look", str(each)) for each in leakage.check(source, seed)]
    if not checks:
        checks.append(Check("splits", "ok", "no row stands in two splits, and no column gives the target away"))
    sample = some(source.split("train"), seed, _SAMPLE)
    if source.signature.labels:
        facts["classes"], check = _classes(source)
        checks.append(check)
    conflicts, seen = conflicting_rows(sample), len(next(iter(sample.values())))
    if conflicts:
        text = f"{conflicts:,} of {seen:,} training rows have inputs that another row has with a different target"
        checks.append(Check("targets", "look", f"{text}; no model can get all of them right"))
    else:
        checks.append(Check("targets", "ok", f"among {seen:,} training rows no two are alike with different targets"))
    return facts, checks


def baseline(task: Task, source: Source, device: torch.device, batch_size: int, seed: int) -> dict[str, float]:
    """Validation metrics of always giving the same answer: what a network has to beat. Empty for other tasks."""
    try:
        train, _ = evaluate(task, _Part(source.split("train"), seed, _SAMPLE), batch_size, device)
        val, _ = evaluate(task, _Part(source.split("val"), seed, _SAMPLE), batch_size, device)
    except NotImplementedError:
        return {}
    constant = constant_answer(train, val)
    return {} if constant is None else {name: float(value) for name, value in task.metrics(constant).items()}


def some(rows: Rows, seed: int, most: int) -> Batch:
    """One batch of rows drawn at random; fewer than ``most`` where they would take more than 256 MB."""
    one = sum(tensor.numel() * tensor.element_size() for tensor in rows.fetch(np.array([0])).values())
    most = min(most, max(1, _BYTES // max(1, one)))
    positions = np.sort(generator(seed, "checkup").permutation(len(rows))[:most])
    return rows.fetch(positions)


def _classes(source: Source) -> tuple[dict[str, int], Check]:
    labels, rows = source.signature.labels, source.split("train")
    y, whole = some(rows, 0, _SAMPLE)["y"], len(rows) <= _SAMPLE
    kept = getattr(rows, "tensors", {}).get("y")
    if isinstance(kept, torch.Tensor):
        positions = getattr(rows, "positions", None)
        y, whole = kept if positions is None else kept[positions], True
    if source.signature.targets[0].kind == "mask":  # in how many images each class is to be seen
        counts = np.array([int((y == k).flatten(1).any(dim=1).sum()) for k in range(len(labels))])
    else:
        counts = np.bincount(y[y >= 0].numpy(), minlength=len(labels))
    named = dict(zip(labels, counts.tolist()))
    order = np.argsort(counts)
    rare, common = labels[order[0]], labels[order[-1]]
    among = "training rows" if whole else f"{len(y):,} training rows that were looked at"
    if counts[order[0]] < FEW:
        few = [label for label, count in named.items() if count < FEW]
        shown = ", ".join(few[:5]) + (f" and {len(few) - 5} more" if len(few) > 5 else "")
        text = (
            f"fewer than {FEW} {among} of the class{'es' if len(few) > 1 else ''} {shown}; get more, or leave them out"
        )
        return named, Check("classes", "look", text)
    ratio = counts[order[-1]] / counts[order[0]]
    text = f"{counts[order[0]]:,} to {counts[order[-1]]:,} {among} of each of {len(labels)} classes"
    if ratio > UNEVEN:
        text += (
            f"; '{common}' is {ratio:.0f} times as frequent as '{rare}', so accuracy says little: look at balanced "
            "accuracy and each class, and try class weights in the loss"
        )
    return named, Check("classes", "look" if ratio > UNEVEN else "ok", text)


class _Part:
    """Some of the rows, drawn at random."""

    def __init__(self, rows: Rows, seed: int, most: int) -> None:
        self.rows = rows
        self.decodes = getattr(rows, "decodes", False)
        self.positions = np.sort(generator(seed, "checkup").permutation(len(rows))[:most])

    def __len__(self) -> int:
        return len(self.positions)

    def fetch(self, indices: np.ndarray) -> Batch:
        return self.rows.fetch(self.positions[indices])
