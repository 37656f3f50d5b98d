"""The whole examination, from a recipe to a `Checkup`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from lamplighter.checkup.data_checks import baseline, look_at_data
from lamplighter.checkup.network_checks import look_at_network, summary
from lamplighter.checkup.result import Check, Checkup
from lamplighter.checkup.training_checks import look_at_learning, look_at_rate, measure_cost
from lamplighter.core.recipe import Recipe
from lamplighter.optim import preview
from lamplighter.run import build_source, build_task
from lamplighter.run.build import make_trainer
from lamplighter.run.fitting import threads_of
from lamplighter.run.resolve import resolve
from lamplighter.train import lr_auto, memory, rng, transfer
from lamplighter.train.diagnostics.rates import RateComparison, compare_rates
from lamplighter.train.distributed.strategy import Strategy
from lamplighter.train.lr_finder import find_lr
from lamplighter.train.progress import NoProgress, make_progress
from lamplighter.train.signals import StopRequest
from lamplighter.train.trainer import Trainer
from lamplighter.train.trial import at_its_start, nominal_rate

_NEUTRAL = 1e-3


def examine(recipe: Recipe | str | Path, *, rates: Sequence[float] = (), progress: bool = True) -> Checkup:
    """Look at everything that can be known before a training: the cheapest moment to find a mistake.

    Data are read and split as a run would, network and trainer are built as it would, steps are tried out and taken
    back. Nothing is kept, nothing is written. The test split is not evaluated; only whether its rows stand in other
    splits, too, is looked at, by their inputs.

    Args:
        recipe: a recipe, its file, or the name of a built-in one.
        rates: learning rates to compare, besides the range test.
        progress: say what is being looked at.

    Raises:
        LamplighterError: the recipe, its data or this machine do not even let the training begin.

    >>> from lamplighter.core.recipe import Recipe
    >>> small = Recipe.load("digits", set=["model={name: mlp}", "augment=[]", "train.precision=fp32"])
    >>> [check.level for check in examine(small, progress=False).checks if check.name == "one batch"]
    ['ok']
    """
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    shown = make_progress(progress)
    auto = lr_auto.is_auto(recipe.train)
    asked = recipe.train.model_copy(update={"compile": False})
    asked = lr_auto.with_rate(asked, _NEUTRAL) if auto else asked
    with rng.untouched(), threads_of(recipe) as threads, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = build_source(recipe)
        shown.message("data: splits, classes, equal rows")
        data, checks = look_at_data(source, recipe.seed)
        task = build_task(recipe, source)
        _, resolved = transfer.begin_or_go_on(task, recipe.with_(train=asked), folder)
        resolved = resolve(resolved, source, task, threads, folder)
        trainer = make_trainer(resolved, source, task, folder, NoProgress(), StopRequest(), Strategy(), ())
        with memory.explained(recipe.data.batch_size), at_its_start(trainer):
            data["baseline"] = baseline(task, source, trainer.device, 2 * recipe.data.batch_size, recipe.seed)
            shown.message("learning rate: range test")
            curve = find_lr(trainer)
            rate = curve.chosen if auto and curve.chosen is not None else nominal_rate(trainer)
            shown.message("network: one batch by heart, gradients, dead units")
            one, flow, dead, found = look_at_network(trainer, rate)
            checks += found
            checks.append(look_at_rate(None if auto else nominal_rate(trainer), curve))
            compared = _compared(trainer, rates, shown)
            shown.message("learning: does a short training hold for new rows?")
            association, check = look_at_learning(trainer, curve, trainer.state.total_steps)
            checks.append(check)
            cost = measure_cost(trainer)
        steps = trainer.state.total_steps
        schedule = (
            tuple(preview.rates(trainer.schedule, rate, steps)),
            preview.summary(trainer.schedule, rate, steps),
        )
    train = {**resolved.to_dict()["train"], "optimizer": recipe.to_dict()["train"]["optimizer"]}
    return Checkup(
        recipe={**resolved.to_dict(), "train": train},
        checks=tuple(_sorted(checks)),
        data=data,
        model=summary(task),
        schedule=schedule,
        curve=curve,
        flow=flow,
        dead=dead,
        one_batch=one,
        association=association,
        rates=compared,
        cost=cost,
    )


def _compared(trainer: Trainer, rates: Sequence[float], shown: NoProgress) -> RateComparison | None:
    if not rates:
        return None
    shown.message(f"learning rates: {', '.join(f'{rate:g}' for rate in rates)}, from the same weights")
    return compare_rates(trainer, rates)


def _sorted(checks: list[Check]) -> list[Check]:
    """What is wrong first, then what is worth a look; else in the order of the examination."""
    return sorted(checks, key=lambda check: ("wrong", "look", "ok").index(check.level))
