"""``lr: auto``: the learning rate of a recipe, found by a range test before its training."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lamplighter.core.errors import TrainingError
from lamplighter.core.recipe import Train
from lamplighter.train.lr_curve import LRCurve
from lamplighter.train.lr_finder import find_lr
from lamplighter.train.trial import at_its_start

if TYPE_CHECKING:
    from lamplighter.train.trainer import Trainer

AUTO = "auto"


def is_auto(settings: Train) -> bool:
    """Whether a learning rate has to be found.

    Raises:
        TrainingError: one optimizer's rate does, another's is given: a range test moves all of them together.
    """
    rates = {
        "train.optimizer.lr": settings.optimizer.params.get("lr"),
        **{f"train.optimizers.{name}.lr": c.params.get("lr") for name, c in settings.optimizers.items()},
    }
    given = [name for name, rate in rates.items() if rate != AUTO]
    if len(given) == len(rates):
        return False
    if given:
        raise TrainingError(
            f"{given[0]} is {rates[given[0]]}, and another optimizer's is auto; a range test moves all rates together, "
            "so set all of them to auto, or none"
        )
    return True


def resolve(settings: Train, make: Callable[[Train], Trainer]) -> tuple[Train, LRCurve]:
    """Settings with the learning rate that was found, and the curve it was read off.

    With a schedule that varies the rate, what was found is its peak.

    Args:
        settings: whose `is_auto` holds.
        make: from settings to a trainer that is used for the range test only; its task is left as it was.

    Raises:
        TrainingError: the range test shows no rate that trains; says why, and what to set.
    """
    trial = with_rate(settings, 1.0).model_copy(update={"compile": False})
    trainer = make(trial)
    with at_its_start(trainer):
        curve = find_lr(trainer)
    if curve.chosen is None:
        raise TrainingError(
            f"train.optimizer.lr: auto found no learning rate: {curve.reason}. To train all the same, give a number: "
            "--set train.optimizer.lr=0.001"
        )
    return with_rate(settings, curve.chosen), curve


def with_rate(settings: Train, lr: float) -> Train:
    """The same settings with this learning rate for every optimizer."""
    update = {
        "optimizer": settings.optimizer.replace(lr=lr),
        "optimizers": {name: component.replace(lr=lr) for name, component in settings.optimizers.items()},
    }
    return settings.model_copy(update=update)
