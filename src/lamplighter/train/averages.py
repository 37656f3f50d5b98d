"""Weighted means of what a task logs, summed without waiting for the device at each step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lamplighter.core.errors import TrainingError

_KEEP = 256


class Averages:
    """Means over an epoch of losses and metrics.

    Values stay on the device until `drain`, which fetches them all at once; sums are Python floats added in the order
    of the steps, so the result does not depend on when they were fetched.

    >>> averages = Averages()
    >>> averages.add("loss", torch.tensor(2.0), 3, step=1)
    >>> averages.add("loss", torch.tensor(4.0), 1, step=1)
    >>> averages.means()
    {'loss': 2.5}
    """

    def __init__(self) -> None:
        self._pending: list[tuple[str, Tensor, float | Tensor, int]] = []
        self._sums: dict[str, list[float]] = {}
        self.epoch = 1
        self.last_loss = math.nan

    def add(self, name: str, value: Tensor, weight: float | Tensor, step: int) -> None:
        """Note one value.

        Args:
            name: ``loss``, or the name of a metric.
            value: scalar, detached.
            weight: rows it is the mean of.
            step: the optimizer step it belongs to, counting from 1.
        """
        self._pending.append((name, value, weight, step))
        if len(self._pending) >= _KEEP:
            self.drain()

    def drain(self) -> None:
        """Fetch pending values and add them up.

        Raises:
            TrainingError: a loss is NaN or infinite; names epoch and step.
        """
        pending, self._pending = self._pending, []
        if not pending:
            return
        values = _fetched([value for _, value, _, _ in pending])
        weights = _fetched([weight for _, _, weight, _ in pending])
        for (name, _, _, step), value, weight in zip(pending, values, weights):
            sums = self._sums.setdefault(name, [0.0, 0.0])
            if weight == 0:  # no row counted: the mean of nothing is NaN, and no failure
                continue
            if name == "loss":
                self.last_loss = value
            if name.endswith("loss") and not math.isfinite(value):
                raise TrainingError(
                    f"epoch {self.epoch}, step {step}: the {name} is {value}; lower the learning rate "
                    "(train.optimizer.lr), set train.precision: fp32, or look for extreme values in the data"
                )
            sums[0] += value * weight
            sums[1] += weight

    def means(self, summed: Callable[[list[float]], list[float]] = list) -> dict[str, float]:
        """Weighted mean of everything added since the last `reset`.

        Args:
            summed: adds up numbers over the processes that train together.
        """
        return {name: total / weight for name, (total, weight) in self.state_dict(summed).items() if weight}

    def reset(self, epoch: int) -> None:
        """Forget everything: an epoch (counting from 1, named in errors) starts."""
        self._pending, self._sums, self.epoch = [], {}, epoch

    def state_dict(self, summed: Callable[[list[float]], list[float]] = list) -> dict[str, list[float]]:
        """Weighted sum and sum of weights of each name; ``summed`` as in `means`."""
        self.drain()
        names = sorted(self._sums)
        numbers = summed([number for name in names for number in self._sums[name]])
        pairs = dict(zip(names, zip(numbers[::2], numbers[1::2])))
        return {name: list(pairs[name]) for name in self._sums}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._pending = []
        self._sums = {name: list(sums) for name, sums in state.items()}


def _fetched(scalars: list[float | Tensor]) -> list[float]:
    """Numbers of tensors; those of a GPU in one transfer."""
    remote = [s for s in scalars if isinstance(s, Tensor) and s.device.type != "cpu"]
    fetched = iter(torch.stack([s.reshape(()).float() for s in remote]).tolist() if remote else [])
    return [float(next(fetched) if isinstance(s, Tensor) and s.device.type != "cpu" else s) for s in scalars]
