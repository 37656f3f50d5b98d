"""How one column becomes numbers: fitted on the training rows, stored as JSON, run on any rows.

Each class has four verbs: ``fit`` looks at the training rows, ``parse`` reads a client's values, ``encode`` makes the
numbers the network takes, ``feature`` the one number the monitor watches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from lamplighter.data.tables import values
from lamplighter.data.tables.values import DateOrder

_DAY = np.float64(86_400_000_000)  # microseconds
_MONTHS = 2 * np.pi * np.arange(12) / 12
_WEEKDAYS = 2 * np.pi * np.arange(7) / 7
# Tables rather than sin() of the column: a value's sine must not depend on how many rows are computed together.
_MONTH_CIRCLE = np.stack([np.sin(_MONTHS), np.cos(_MONTHS)], axis=1)
_WEEKDAY_CIRCLE = np.stack([np.sin(_WEEKDAYS), np.cos(_WEEKDAYS)], axis=1)


class _Encoding(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    required: bool = True
    """Whether a value must be given: no row of the training file was without one."""


class Numeric(_Encoding):
    """``(value - mean) / std`` in float64.

    A blank becomes ``fill``, the training median. A further 0/1 number says that the value was blank when training rows
    had blanks (``indicator``).
    """

    kind: Literal["numeric"] = "numeric"
    mean: float
    std: Annotated[float, Field(gt=0)]
    fill: float
    indicator: bool = False

    @classmethod
    def fit(cls, name: str, column: np.ndarray, train: np.ndarray) -> Numeric:
        """Mean, standard deviation and median of the training rows; blanks are left out.

        Args:
            name: the column.
            column: float64 (N,), NaN where missing, all rows of the file.
            train: int64 positions of the training rows.
        """
        mean, std, fill = moments(column[train])
        blank = np.isnan(column)
        return cls(
            name=name, mean=mean, std=std, fill=fill, indicator=bool(blank[train].any()), required=not blank.any()
        )

    @property
    def width(self) -> int:
        return 1 + self.indicator

    @property
    def expected(self) -> str:
        return "a finite number"

    def parse(self, cells: Sequence[Any]) -> tuple[np.ndarray, list[int]]:
        return values.numbers(cells)

    def encode(self, column: np.ndarray) -> np.ndarray:
        return _standardise(column, self.mean, self.std, self.fill, self.indicator)

    def feature(self, column: np.ndarray) -> np.ndarray:
        return column

    def spec(self) -> dict[str, Any]:
        return {"name": self.name, "kind": "numeric", "categories": ()}


class Boolean(_Encoding):
    """0 or 1. A blank becomes ``fill``, the more frequent of the two in training; ``indicator`` as in `Numeric`."""

    kind: Literal["boolean"] = "boolean"
    fill: Literal[0, 1]
    indicator: bool = False

    @classmethod
    def fit(cls, name: str, column: np.ndarray, train: np.ndarray) -> Boolean:
        """See `Numeric.fit`."""
        present = column[train][~np.isnan(column[train])]
        blank = np.isnan(column)
        return cls(
            name=name,
            fill=1 if present.sum() * 2 > len(present) else 0,
            indicator=bool(blank[train].any()),
            required=not blank.any(),
        )

    @property
    def width(self) -> int:
        return 1 + self.indicator

    @property
    def expected(self) -> str:
        return "true or false"

    def parse(self, cells: Sequence[Any]) -> tuple[np.ndarray, list[int]]:
        return values.booleans(cells)

    def encode(self, column: np.ndarray) -> np.ndarray:
        return _standardise(column, 0.0, 1.0, float(self.fill), self.indicator)

    def feature(self, column: np.ndarray) -> np.ndarray:
        return column

    def spec(self) -> dict[str, Any]:
        return {"name": self.name, "kind": "category", "categories": ("false", "true")}


class Category(_Encoding):
    """One 0/1 number for each category of the training rows, the most frequent first.

    When training knew more categories than ``max_categories``, the rest share one further number (``other``), and so do
    categories never seen. Without such a rest that number would have no trained weight, so an unseen category is all
    zeros. A blank has a number of its own when training rows had blanks (``indicator``).
    """

    kind: Literal["category"] = "category"
    categories: tuple[str, ...]
    other: bool = False
    indicator: bool = False

    @classmethod
    def fit(cls, name: str, column: np.ndarray, train: np.ndarray, max_categories: int) -> Category:
        """The vocabulary of the training rows; ties in frequency are broken by the alphabet.

        Args:
            name: the column.
            column: objects (N,), text or None, all rows of the file.
            train: int64 positions of the training rows.
            max_categories: size of the vocabulary at most.
        """
        counts = Counter(column[train].tolist())
        indicator = counts.pop(None, 0) > 0
        ordered = sorted(counts, key=lambda text: (-counts[text], text))
        return cls(
            name=name,
            categories=tuple(ordered[:max_categories]),
            other=len(ordered) > max_categories,
            indicator=indicator,
            required=not any(cell is None for cell in column.tolist()),
        )

    @property
    def width(self) -> int:
        return len(self.categories) + self.other + self.indicator

    @property
    def expected(self) -> str:
        return "a text"

    def parse(self, cells: Sequence[Any]) -> tuple[np.ndarray, list[int]]:
        return values.categories(cells)

    def codes(self, column: np.ndarray) -> np.ndarray:
        """int64 (N,): the index of the category, their number for unseen, one more for missing."""
        index: dict[str | None, int] = {text: code for code, text in enumerate(self.categories)}
        unseen = len(index)
        index[None] = unseen + 1
        return np.array([index.get(text, unseen) for text in column.tolist()], dtype=np.int64)

    def encode(self, column: np.ndarray) -> np.ndarray:
        known = len(self.categories)
        rows = np.eye(known + 2)  # row by row what each code becomes
        slots = [*range(known), *([known] if self.other else []), *([known + 1] if self.indicator else [])]
        return rows[:, slots][self.codes(column)]

    def feature(self, column: np.ndarray) -> np.ndarray:
        codes = self.codes(column).astype(np.float64)
        return np.where(codes > len(self.categories), np.nan, codes)

    def spec(self) -> dict[str, Any]:
        return {"name": self.name, "kind": "category", "categories": self.categories}


class Date(_Encoding):
    """Days since 1970-01-01, standardised as in `Numeric`, then month and weekday as points on a circle.

    ``order`` says how 01/02/2024 is read; when it is None only dates that start with the year are accepted.
    """

    kind: Literal["date"] = "date"
    order: DateOrder | None = None
    mean: float
    std: Annotated[float, Field(gt=0)]
    fill: float
    indicator: bool = False

    @classmethod
    def fit(cls, name: str, column: np.ndarray, train: np.ndarray, order: DateOrder | None) -> Date:
        """See `Numeric.fit`; ``column`` is datetime64[us] (N,), NaT where missing."""
        mean, std, fill = moments(_days(column[train]))
        blank = np.isnat(column)
        return cls(
            name=name,
            order=order,
            mean=mean,
            std=std,
            fill=fill,
            indicator=bool(blank[train].any()),
            required=not blank.any(),
        )

    @property
    def width(self) -> int:
        return 5 + self.indicator

    @property
    def expected(self) -> str:
        also = {"dmy": " or 31/01/2024", "mdy": " or 01/31/2024", None: ""}[self.order]
        return f"a date such as 2024-01-31{also}"

    def parse(self, cells: Sequence[Any]) -> tuple[np.ndarray, list[int]]:
        return values.dates(cells, self.order)

    def encode(self, column: np.ndarray) -> np.ndarray:
        standard = _standardise(_days(column), self.mean, self.std, self.fill, self.indicator)
        blank = np.isnat(column)
        known = np.where(blank, np.datetime64(0, "us"), column)
        months = known.astype("datetime64[M]").astype(np.int64) % 12
        weekdays = (known.astype("datetime64[D]").astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0
        circles = np.hstack([_MONTH_CIRCLE[months], _WEEKDAY_CIRCLE[weekdays]])
        circles[blank] = 0.0
        return np.hstack([standard[:, :1], circles, standard[:, 1:]])

    def feature(self, column: np.ndarray) -> np.ndarray:
        return _days(column)

    def spec(self) -> dict[str, Any]:
        return {"name": self.name, "kind": "numeric", "categories": ()}


Encoding = Annotated[Numeric | Boolean | Category | Date, Field(discriminator="kind")]


def moments(column: np.ndarray) -> tuple[float, float, float]:
    """Mean, population standard deviation (1 where it is 0) and median of what is not NaN; (0, 1, 0) for nothing.

    >>> moments(np.array([1.0, 3.0, np.nan])), moments(np.array([7.0, 7.0]))
    ((2.0, 1.0, 2.0), (7.0, 1.0, 7.0))
    """
    present = column[~np.isnan(column)]
    if not len(present):
        return 0.0, 1.0, 0.0
    if present.min() == present.max():
        return float(present[0]), 1.0, float(present[0])
    scale = np.abs(present).max()  # squares of values near 1e300 would overflow, of values near 1e-300 vanish
    scaled = present / scale
    return float(scaled.mean() * scale), float(scaled.std() * scale), float(np.median(scaled) * scale)


def _standardise(column: np.ndarray, mean: float, std: float, fill: float, indicator: bool) -> np.ndarray:
    """(N, 1), or (N, 2) with the indicator."""
    blank = np.isnan(column)
    with np.errstate(over="ignore"):  # the caller refuses what became infinite
        standard = (np.where(blank, fill, column) - mean) / std
    return np.stack([standard, blank.astype(np.float64)], axis=1) if indicator else standard[:, None]


def _days(column: np.ndarray) -> np.ndarray:
    days = column.astype("datetime64[us]").astype(np.int64) / _DAY
    return np.where(np.isnat(column), np.nan, days)
