"""How rows are divided: by class, by group (no patient on both sides), or by time (train on the past).

`SplitBy` is what a recipe says; `SplitKeys` holds what the rows say, and makes splits and folds that respect it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from lamplighter.core.errors import DataError
from lamplighter.data.cuts import cut_groups, cut_times
from lamplighter.data.splits import NAMES, Splits, cut
from lamplighter.data.tables import kinds
from lamplighter.data.tables.reading import TableFile
from lamplighter.data.tables.targets import require_column
from lamplighter.data.tables.values import DateOrder

Shares = tuple[float, float, float]


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    shares: Annotated[Shares | None, Field(description="of train, val and test; null: the source's own")] = None


class SplitBy(_Rule):
    """``{by: group, column: patient}`` or ``{by: time, column: date}``: a column of the table that rows are divided by.

    ``group``: all rows of one value are in one split. ``time``: training rows come before validation rows, and these
    before test rows; equal times are never divided. The column is no input unless ``columns`` gives it a kind.
    """

    by: Literal["group", "time"]
    column: str


class SplitByPath(_Rule):
    """``{by: group, pattern: "(patient[0-9]+)_"}``: images whose paths have the same match are in one split."""

    by: Literal["group"]
    pattern: Annotated[
        str,
        Field(description="regular expression, searched in the path below the folder; its first parenthesis names it"),
    ]


def _form(value: Any) -> str:
    return "rule" if isinstance(value, (dict, BaseModel)) else "shares"


SplitOfTable = Annotated[Annotated[Shares, Tag("shares")] | Annotated[SplitBy, Tag("rule")], Discriminator(_form)]
SplitOfFolder = Annotated[Annotated[Shares, Tag("shares")] | Annotated[SplitByPath, Tag("rule")], Discriminator(_form)]


@dataclass(frozen=True)
class SplitKeys:
    """What a division of rows must respect.

    Attributes:
        rows: how many there are.
        classes: (rows,) class of each, kept in proportion where groups and time allow; None for numeric targets.
        groups: (rows,) int64 code; rows of one group stay together. None: each row is free.
        times: (rows,) int64 rank in time, equal for equal times; None: time does not matter.

    >>> keys = SplitKeys(6, groups=np.array([0, 0, 1, 1, 2, 2]))
    >>> [len(part) for part in keys.cut((0.4, 0.3, 0.3), seed=0)]
    [2, 2, 2]
    """

    rows: int
    classes: np.ndarray | None = None
    groups: np.ndarray | None = None
    times: np.ndarray | None = None

    def split(self, ratios: Shares, seed: int) -> Splits:
        """Train, val and test.

        Args:
            ratios: shares of the rows, sum 1.
            seed: the recipe's seed; time does not need it.

        Raises:
            DataError: ratios do not fit, or a split would be empty.
        """
        train, val, test = self.cut(ratios, seed)
        return Splits(train, val, test)

    def cut(
        self, ratios: Sequence[float], seed: int, names: Sequence[str] = NAMES, among: np.ndarray | None = None
    ) -> list[np.ndarray]:
        """Parts of some rows; positions of each part, ascending.

        Args:
            ratios: share of each part; by time, the first part is the earliest.
            seed: the recipe's seed.
            names: what to call the parts in errors.
            among: positions to divide; None for all rows.
        """
        among = np.arange(self.rows) if among is None else np.sort(among)
        classes = None if self.classes is None else self.classes[among]
        if self.times is not None:
            parts = cut_times(self.times[among], ratios, names)
        elif self.groups is not None:
            parts = cut_groups(self.groups[among], ratios, seed, classes, names)
        else:
            parts = cut(classes, ratios, seed, rows=len(among), names=names)
        return [among[part] for part in parts]


def keys_of_table(file: TableFile, rule: SplitBy, classes: np.ndarray | None, order: DateOrder | None) -> SplitKeys:
    """What a column of a table says about dividing its rows.

    Args:
        file: with the rule's column.
        rule: of the recipe.
        classes: (rows,) of the target; None when it is numeric.
        order: of day and month in dates that end in the year.

    Raises:
        DataError: no such column, a blank in it, or a time that is neither number nor date; says where.
    """
    require_column(file, rule.column)
    blank = next((row for row, cell in enumerate(file.columns[rule.column]) if cell is None), None)
    if blank is not None:
        raise DataError(
            f"{file.where(blank)}: no value in column '{rule.column}', by which the rows are split; fill it in, or "
            "remove the row"
        )
    if rule.by == "group":
        values = kinds.typed(file, rule.column, "category").astype(str)
        return SplitKeys(len(file), classes, groups=_codes(values))
    return SplitKeys(len(file), classes, times=_codes(_times(file, rule.column, order)))


def keys_of_paths(paths: Sequence[Path], root: Path, rule: SplitByPath, classes: np.ndarray | None) -> SplitKeys:
    """What the paths of images say about dividing them.

    Args:
        paths: of the images.
        root: the folder that they are below.
        rule: of the recipe.
        classes: (images,); None where images have no class of their own.

    Raises:
        DataError: the pattern is no regular expression, or finds nothing in a path.
    """
    try:
        pattern = re.compile(rule.pattern)
    except re.error as error:
        raise DataError(f"data.split.pattern: '{rule.pattern}' is no regular expression ({error})") from None
    names = []
    for path in paths:
        match = pattern.search(path.relative_to(root).as_posix())
        if match is None:
            raise DataError(f"{path}: data.split.pattern '{rule.pattern}' finds nothing in this path")
        names.append(match[1] or "" if pattern.groups else match[0])
    return SplitKeys(len(paths), classes, groups=_codes(np.array(names)))


def report(keys: SplitKeys, splits: Splits, rule: SplitBy | SplitByPath) -> str:
    """A line for a person: how near the shares came."""
    sizes = [len(splits[name]) for name in NAMES]
    shares = ", ".join(f"{name} {size / sum(sizes):.1%}" for name, size in zip(NAMES, sizes))
    what = f"'{rule.column}'" if isinstance(rule, SplitBy) else f"the pattern '{rule.pattern}'"
    if keys.groups is not None:
        return f"split by {what}, {len(np.unique(keys.groups)):,} groups: {shares} of the rows"
    return f"split by {what} in time: {shares} of the rows"


def _times(file: TableFile, column: str, order: DateOrder | None) -> np.ndarray:
    try:
        return kinds.typed(file, column, "numeric")
    except DataError:
        return kinds.typed(file, column, "date", order)


def _codes(values: np.ndarray) -> np.ndarray:
    """Ranks of the values, equal for equal ones."""
    return np.unique(values, return_inverse=True)[1].reshape(-1).astype(np.int64)
