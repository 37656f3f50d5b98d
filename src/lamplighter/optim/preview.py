"""The learning rate of every step before the first one is taken: as numbers, and as a line of text."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from lamplighter.optim.schedules.base import ObservingSchedule, Schedule

_LEVELS = "▁▂▃▄▅▆▇█"


def rates(schedule: Schedule, base_lr: float, total_steps: int) -> list[float]:
    """Learning rate of each step; of a schedule that looks at validations, as if all of them were improvements.

    >>> from lamplighter.optim.schedules.cosine import warmup_cosine
    >>> values = rates(warmup_cosine(total_steps=100, warmup=10), 0.1, 100)
    >>> len(values), round(values[0], 6), values[10], round(values[55], 6)
    (100, 0.001, 0.1, 0.05)
    """
    return [base_lr * schedule(step) for step in range(total_steps)]


def sparkline(values: Sequence[float], width: int = 60) -> str:
    """A line of block characters, from 0 (the lowest) to the largest value; each stands for the mean of its steps.

    Args:
        values: at least 0 each.
        width: characters at most.

    >>> from lamplighter.optim.schedules.one_cycle import one_cycle
    >>> sparkline(rates(one_cycle(total_steps=1000), 0.1, 1000), width=24)
    '▁▂▃▅▆▇████▇▇▆▆▅▅▄▃▃▂▂▁▁▁'
    """
    if not values:
        return ""
    columns = min(width, len(values))
    edges = [round(column * len(values) / columns) for column in range(columns + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in itertools.pairwise(edges)]
    top = max(means, default=0.0)
    last = len(_LEVELS) - 1
    return "".join(_LEVELS[round(last * mean / top) if top > 0 else 0] for mean in means)


def summary(schedule: Schedule, base_lr: float, total_steps: int) -> str:
    """The rates at the beginning, at the top and at the end, in words.

    >>> from lamplighter.optim.schedules.one_cycle import one_cycle
    >>> summary(one_cycle(total_steps=1000), 0.1, 1000)
    'begins at 0.004, peaks at 0.1 in step 300, ends at 4e-07 in step 1000'
    """
    values = rates(schedule, base_lr, total_steps)
    peak = max(values)
    first, at, last = values[0], values.index(peak) + 1, values[-1]
    if isinstance(schedule, ObservingSchedule):
        text = f"{peak:.3g} from step {at} on, less when validations no longer improve"
    elif min(values) == peak:
        text = f"{peak:.3g} all the time"
    elif at == 1:
        text = f"begins at {first:.3g}, ends at {last:.3g} in step {total_steps}"
    else:
        text = f"begins at {first:.3g}, peaks at {peak:.3g} in step {at}, ends at {last:.3g} in step {total_steps}"
    return text
