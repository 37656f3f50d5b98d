"""The learning-rate range test (Smith 2017, "Cyclical Learning Rates for Training Neural Networks")."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from lamplighter.core.errors import TrainingError
from lamplighter.train.diagnostics.association import held_against_shuffles, some_rows
from lamplighter.train.evaluation import evaluate
from lamplighter.train.lr_curve import (
    ALPHA,
    RULES,
    START,
    LRCurve,
    Rule,
    chance_of_fall,
    diverged,
    smooth,
    sweep,
)
from lamplighter.train.trial import trial

if TYPE_CHECKING:
    from lamplighter.train.trainer import Trainer

MIN_LR, MAX_LR, STEPS = 1e-7, 10.0, 65
"""Eight steps for each factor of ten. With more of them every rate has longer to act, and all that is read off the
curve moves to lower rates: with 20 the steepest fall trains worse on five problems of six (benchmarks/lr_rules.py)."""

RULE: Rule = "steep"
"""See docs/doctor.md for how the rules compare."""

_SWEEPS = 4
_ENOUGH_ROWS = 20
_VALIDATION_ALPHA = 0.05


def find_lr(
    trainer: Trainer,
    *,
    min_lr: float = MIN_LR,
    max_lr: float = MAX_LR,
    steps: int = STEPS,
    rule: Rule = RULE,
    against_shuffled: bool = True,
) -> LRCurve:
    """Raise the learning rate from step to step and read off where training works best. Leaves no trace.

    The steps are the trainer's own: its batches (over and over when they are few), all phases and optimizers,
    accumulation, precision, clipping. All groups of all optimizers are scaled together. The test ends early when the
    smoothed loss is four times its best or not finite.

    Nothing is suggested unless there is something to see. First, the loss must fall further than it would by chance
    (`chance_of_fall`); where it does not, the sweep is repeated with other batches, up to four times, and the losses
    are averaged. Second, the network as it was when the loss was lowest must tell the targets of validation rows from
    shuffled ones (`held_against_shuffles`, 5%), because a network fits noise, too, and the rate at which it does so
    best is of no use. That second check is left out for tasks without targets and below 20 validation rows.

    Args:
        trainer: as it would train; stands afterwards where it stood, bit for bit.
        min_lr: the first rate.
        max_lr: the last.
        steps: how many rates.
        rule: which suggestion is chosen.
        against_shuffled: False leaves out the second check.

    Returns:
        The curve. With a schedule that varies the rate, ``chosen`` is its peak.
    """
    if not 0 < min_lr < max_lr or steps < 2 * START:
        raise TrainingError(f"a sweep needs 0 < min_lr < max_lr and {2 * START} steps, not {min_lr}, {max_lr}, {steps}")
    lrs = sweep(min_lr, max_lr, steps)
    runs: list[list[float]] = []
    refusal: str | None = ""
    while refusal is not None and len(runs) < _SWEEPS:
        run, ended = _range_test(trainer, lrs, len(runs))
        runs.append(run)
        losses = np.mean([each[: min(map(len, runs))] for each in runs], axis=0).tolist()
        refusal = _no_fall(losses, len(runs))
    smoothed = smooth(losses)
    suggestions: dict[str, float] = {}
    if refusal is None and against_shuffled:
        refusal = _fits_noise(trainer, lrs[: _lowest(runs[0])])
    if refusal is None:
        suggestions = {name: read_off(lrs, smoothed) for name, read_off in RULES.items()}
    return LRCurve(
        lrs=tuple(lrs[: len(losses)]),
        losses=tuple(losses),
        smoothed=tuple(smoothed.tolist()),
        suggestions=suggestions,
        rule=rule,
        chosen=None if refusal else float(f"{suggestions[rule]:.2g}"),
        reason=refusal or _how(rule, smoothed, len(losses) == steps, max_lr),
        ended=ended,
        sweeps=len(runs),
    )


def _range_test(trainer: Trainer, lrs: list[float], number: int) -> tuple[list[float], str]:
    """The finite losses at each rate, and why it ended. Each ``number`` sees other batches."""
    losses: list[float] = []
    best = math.inf
    with trial(trainer) as step:
        if number:
            trainer.loader.load_state_dict({"epoch": trainer.loader.epoch + number, "batch": 0})
        for lr in lrs:
            loss = step(lr)
            if not math.isfinite(loss):
                return losses, f"the loss was {loss} at a rate of {lr:.2g}"
            losses.append(loss)
            now = float(smooth(losses)[-1])
            best = min(best, now)
            if diverged(now, best, losses[0]):
                return losses, f"the loss had risen to 4 times its best at a rate of {lr:.2g}"
    return losses, f"the last rate, {lrs[-1]:.2g}, was reached"


def _no_fall(losses: list[float], sweeps: int) -> str | None:
    """Why the curve says nothing, or None."""
    if len(losses) <= START:
        return (
            f"the loss diverged or was not finite after {len(losses)} steps, at rates too low to be the reason; look "
            "at inputs and targets for extreme values"
        )
    chance = chance_of_fall(losses)
    if chance <= ALPHA:
        return None
    begin, lowest = float(np.mean(losses[:START])), float(smooth(losses)[START:].min())
    return (
        f"the loss never falls further than it does by chance: it begins at {begin:.4g}, its running mean gets down "
        f"to {lowest:.4g} (p = {chance:.2g}, mean of {sweeps} sweeps). Either nothing can be learned from these "
        "inputs, or one batch is too noisy to show it: raise data.batch_size or train.accumulate"
    )


def _lowest(losses: list[float]) -> int:
    """Steps up to the lowest loss, which a mean over five steps finds without the running mean's delay."""
    return 3 + int(np.argmin(np.convolve(losses, np.full(5, 0.2), "valid")))


def _fits_noise(trainer: Trainer, lrs: list[float]) -> str | None:
    """Go the way to the lowest loss again and look at validation rows: why the curve says nothing, or None."""
    if len(trainer.val) < _ENOUGH_ROWS:
        return None
    rows = some_rows(trainer.val, trainer.seed)
    with trial(trainer) as step:
        for lr in lrs:
            step(lr)
        try:
            batch_size = 2 * trainer.loader.batch_size
            outputs, _ = evaluate(
                trainer.task, rows, batch_size, trainer.device, trainer.precision, strategy=trainer.strategy
            )
        except NotImplementedError:  # a task that judges nothing row by row
            return None
        if "y" not in outputs:
            return None
        found = held_against_shuffles(trainer.task, outputs, len(lrs), trainer.seed)
    if found.p_value <= _VALIDATION_ALPHA:
        return None
    return (
        f"the loss falls, but after the {len(lrs)} steps to its lowest point the network tells the targets of "
        f"{found.rows:,} validation rows from shuffled ones no better than by chance (p = {found.p_value:.2g}): it "
        "fits noise, or it needs more steps to find what little there is"
    )


def _how(rule: Rule, smoothed: np.ndarray, complete: bool, max_lr: float) -> str:
    words = {
        "steep": "where the loss falls fastest",
        "min/10": "a tenth of the rate with the lowest loss",
        "valley": "the middle of the way down",
    }[rule]
    if complete and int(np.argmin(smoothed)) == len(smoothed) - 1:
        words += f"; the loss was still falling at the highest rate tried, {max_lr:g}"
    return words
