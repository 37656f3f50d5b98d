"""The network before training: its size, BatchNorm, one batch by heart, gradients, dead units."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lamplighter.checkup.result import Check, Level
from lamplighter.data.source import Batch
from lamplighter.tasks.base import Task
from lamplighter.train.diagnostics.batch_norm import batch_norm_notes
from lamplighter.train.diagnostics.dead_units import DeadUnits, dead_units
from lamplighter.train.diagnostics.gradient_flow import GradientFlow, gradient_flow, update_ratios
from lamplighter.train.diagnostics.one_batch import OneBatch, overfit_one_batch
from lamplighter.train.evaluation import to_device
from lamplighter.train.precision import to_layout
from lamplighter.train.trainer import Trainer

BIG_STEP = 0.1
"""Change of a layer's weights in one step, over their size, above which a step is worth a look."""
MANY_DEAD = 0.5
"""Share of a layer's units that may be dead before a word about it."""
_LEVELS: dict[str, Level] = {"ok": "ok", "partly": "look"}
_ONE_BATCH, _SAMPLE = 32, 1024


def summary(task: Task) -> dict[str, Any]:
    """Counts of the network's parts."""
    parameters = list(task.parameters())
    leaves = [type(module).__name__ for module in task.modules() if not list(module.children())]
    return {
        "parameters": sum(p.numel() for p in parameters),
        "trained": sum(p.numel() for p in parameters if p.requires_grad),
        "layers": {name: leaves.count(name) for name in sorted(set(leaves))},
    }


def look_at_network(trainer: Trainer, lr: float) -> tuple[OneBatch, GradientFlow, tuple[DeadUnits, ...], list[Check]]:
    """All examinations of the network; it is left as it was.

    Args:
        trainer: as it would train.
        lr: its learning rate.
    """
    task, rows = trainer.task, trainer.loader.rows
    order = trainer.loader.order(0)
    batch = _batch(trainer, order[:_ONE_BATCH])
    one = overfit_one_batch(task, batch)
    checks = [Check("one batch", _LEVELS.get(one.verdict, "wrong"), one.reason)]
    flow = gradient_flow(
        task,
        _batch(trainer, order[: trainer.loader.batch_size]),
        autocast=trainer.autocast,
        updates=update_ratios(trainer, lr),
    )
    checks.append(_gradients(flow))
    checks += [Check("gradients", "look", each) for each in flow.findings if "takes no part" in each]
    seen = min(len(rows), _SAMPLE)
    starts = [start for start in range(0, seen, trainer.loader.batch_size) if start == 0 or seen - start > 1]
    batches = (_batch(trainer, order[start : min(seen, start + trainer.loader.batch_size)]) for start in starts)
    dead = tuple(dead_units(task, batches, autocast=trainer.autocast))
    checks.append(_dead(dead, seen))
    world = trainer.strategy.world
    notes = batch_norm_notes(task, trainer.loader.batch_size, trainer.accumulate, world, rows=len(rows))
    checks += [Check("batch normalisation", "look", note) for note in notes]
    return one, flow, dead, checks


def _batch(trainer: Trainer, positions: np.ndarray) -> Batch:
    """Training rows as the network sees them, without augmentation."""
    batch = trainer.loader.rows.fetch(positions)
    if trainer.task.wants_index:
        batch = {**batch, "index": torch.from_numpy(positions.astype(np.int64))}
    return to_layout(to_device(batch, trainer.device), trainer.precision)


def _gradients(flow: GradientFlow) -> Check:
    serious = [each for each in flow.findings if "takes no part" not in each]
    if flow.verdict != "ok":
        level = "wrong" if flow.verdict in ("dead", "not finite") else "look"
        return Check("gradients", level, "; ".join(serious))  # type: ignore[arg-type]
    big = [layer for layer in flow.layers if layer.update is not None and layer.update > BIG_STEP]
    if big:
        worst = max(big, key=lambda layer: layer.update or 0.0)
        return Check(
            "gradients",
            "look",
            f"one step at the full learning rate changes {worst.layer} by {worst.update:.0%} of its size; usual is "
            "about 0.1%, so the rate may be too high",
        )
    ratios = ", ".join(f"{ratio:.2g}" for ratio in flow.ratios.values())
    return Check("gradients", "ok", f"they reach all {len(flow.layers)} layers; first over last: {ratios}")


def _dead(dead: tuple[DeadUnits, ...], rows: int) -> Check:
    gone = [each for each in dead if each.dead == each.units]
    if gone:
        where = ", ".join(each.layer for each in gone[:3])
        return Check(
            "dead units", "wrong", f"no unit of {where} reacts to any of {rows:,} rows; nothing passes through"
        )
    many = [each for each in dead if each.share >= MANY_DEAD]
    if many:
        where = ", ".join(f"{each.layer} ({each.dead} of {each.units})" for each in many[:3])
        more = f" and {len(many) - 3} more" if len(many) > 3 else ""
        return Check(
            "dead units",
            "look",
            f"half of the units or more react to none of {rows:,} rows in {where}{more}; use He initialisation, a "
            "normalisation layer, or another activation",
        )
    if not dead:
        return Check("dead units", "ok", "no activation function was seen")
    count = sum(each.dead for each in dead)
    return Check(
        "dead units", "ok", f"{count} of {sum(each.units for each in dead):,} units react to none of {rows:,} rows"
    )
