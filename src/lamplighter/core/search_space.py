"""The values that a hyper-parameter search may try, as a recipe writes them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

_RANGES = ("uniform", "log", "integer", "log_integer")


class Parameter(BaseModel):
    """Values of one key: ``{choice: [...]}``, or a range ``{log: [0.0001, 0.1]}``; exactly one of them.

    >>> Parameter(log=(1e-4, 1e-2), points=3).grid()
    [0.0001, 0.001, 0.01]
    >>> Parameter(integer=(1, 4)).grid(), Parameter(choice=("relu", "gelu")).grid()
    ([1, 2, 3, 4], ['relu', 'gelu'])
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    choice: Annotated[tuple[JsonValue, ...] | None, Field(min_length=1, description="one of these values")] = None
    uniform: Annotated[tuple[float, float] | None, Field(description="number between two, both included")] = None
    log: Annotated[tuple[float, float] | None, Field(description="the same, evenly in the logarithm")] = None
    integer: Annotated[tuple[int, int] | None, Field(description="whole number between two, both included")] = None
    log_integer: Annotated[tuple[int, int] | None, Field(description="the same, evenly in the logarithm")] = None
    points: Annotated[
        int | None, Field(ge=2, description="values that a grid takes from a range; null: every whole number")
    ] = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Parameter:
        given = [name for name in ("choice", *_RANGES) if getattr(self, name) is not None]
        if len(given) != 1:
            listed = ", ".join(("choice", *_RANGES))
            raise ValueError(f"give exactly one of {listed}")
        if given == ["choice"]:
            return self
        low, high = self.range
        if not low < high:
            raise ValueError(f"{given[0]}: the first number must be below the second")
        if given[0].startswith("log") and low <= 0:
            raise ValueError(f"{given[0]}: both numbers must be above 0")
        return self

    @property
    def kind(self) -> str:
        """``choice``, ``uniform``, ``log``, ``integer`` or ``log_integer``."""
        return next(name for name in ("choice", *_RANGES) if getattr(self, name) is not None)

    @property
    def range(self) -> tuple[float, float]:
        """Both ends."""
        found: tuple[float, float] = getattr(self, self.kind)
        return found

    def grid(self) -> list[Any]:
        """The values of a grid search, in order.

        Raises:
            ValueError: a range of real numbers without ``points``.
        """
        if self.choice is not None:
            return list(self.choice)
        low, high = self.range
        if self.points is None:
            if not self.kind.endswith("integer"):
                raise ValueError(
                    f"a grid needs to know how many values of {self.kind}: [{low:g}, {high:g}] to try; add points"
                )
            return list(range(int(low), int(high) + 1))
        steps = [step / (self.points - 1) for step in range(self.points)]
        if self.kind.startswith("log"):
            values = [math.exp(math.log(low) + step * (math.log(high) - math.log(low))) for step in steps]
            values = [float(f"{value:.12g}") for value in values]
        else:
            values = [low + step * (high - low) for step in steps]
        values[0], values[-1] = low, high
        return sorted({round(value) for value in values}) if self.kind.endswith("integer") else values


def combinations(space: Mapping[str, Parameter]) -> list[dict[str, Any]]:
    """Every combination of the grid; the last key changes fastest.

    >>> len(combinations({"a": Parameter(choice=(1, 2)), "b": Parameter(integer=(0, 2))}))
    6
    """
    return [dict(zip(space, values)) for values in itertools.product(*(each.grid() for each in space.values()))]
