"""Tells column types apart, and reads a column as the type it was told to be."""

from __future__ import annotations

import datetime
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from lamplighter.core import registry
from lamplighter.core.errors import DataError
from lamplighter.data.tables import values
from lamplighter.data.tables.reading import TableFile
from lamplighter.data.tables.values import DateOrder

ColumnKind = Literal["numeric", "category", "boolean", "date", "ignore"]
KINDS: tuple[ColumnKind, ...] = get_args(ColumnKind)

_MOSTLY = 0.95  # a column that fits a type to this share, and has many values, has typing errors rather than categories
_MANY = 20
_FEW = 5  # different texts that may stand for "no value" in one column
_IDENTIFIER = re.compile(r"(.*[_\s.-])?((?i:id|uuid|guid|key|index|idx|rowid))|.*[a-z](Id|ID)")
_UUID = re.compile(r"\{?[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}\}?", re.I)
_BOOLEAN_PAIRS = tuple(frozenset(pair.split()) for pair in ("true false", "yes no", "t f", "y n", "1 0"))


@dataclass(frozen=True)
class Guess:
    """What a column seems to be.

    Attributes:
        kind: see `ColumnKind`.
        note: why it is ignored, or what was assumed; empty when there is nothing to say.
    """

    kind: ColumnKind
    note: str = ""


def guess(file: TableFile, name: str, order: DateOrder | None = None) -> Guess:
    """What a column seems to be, told from all its values.

    A column of one value, of row numbers, of identifiers or of free text teaches a network nothing and is ignored.

    Args:
        file: the table.
        name: the column.
        order: how dates that end in the year are read, see `date_order`.

    Raises:
        DataError: nearly all values are numbers (or dates) and a few are not: most likely typing errors, named.
    """
    cells = file.column(name)
    present = [cell for cell in cells if cell is not None]
    if not present:
        return Guess("ignore", "it has no values")
    odd = {kind for kind in set(map(type, present)) if not issubclass(kind, (str, bool, int, float, datetime.date))}
    if odd:
        return Guess("ignore", f"values of type {odd.pop().__name__} cannot be used")
    distinct = set(present)
    if len(distinct) == 1 and len(present) == len(cells):
        return Guess("ignore", f"it has the single value '{_short(present[0])}'")
    if _is_boolean(distinct):
        return Guess("boolean")
    numbers, number_errors = _read(file, name, "numeric", order)
    if not number_errors:
        return _guess_number(name, numbers[~np.isnan(numbers)])
    date_errors = _read(file, name, "date", order)[1]
    if not date_errors:
        return Guess("date")
    for kind, errors in (("numeric", number_errors), ("date", date_errors)):
        refuse_typing_errors(file, name, kind, errors)
    return _guess_text(name, [str(cell) for cell in present], len(distinct))


def typed(file: TableFile, name: str, kind: str, order: DateOrder | None = None) -> np.ndarray:
    """A column as arrays hold it.

    Args:
        file: the table.
        name: the column.
        kind: ``numeric`` and ``boolean``: float64, NaN where missing; ``date``: datetime64[us], NaT where missing;
            ``category``: objects, text or None.
        order: how dates that end in the year are read.

    Raises:
        DataError: a value that does not fit, with file and line.
    """
    array, bad = _read(file, name, kind, order)
    if bad:
        more = f" (and {len(bad) - 1:,} more such values)" if len(bad) > 1 else ""
        raise DataError(
            f"{file.where(bad[0])}: column '{name}' is {kind} in this recipe but holds "
            f"'{_short(file.columns[name][bad[0]])}'{more}"
        )
    return array


def date_order(file: TableFile, names: Iterable[str]) -> tuple[DateOrder | None, str]:
    """The order of day and month in the dates of a table, and a note when no date proves it.

    A date such as 31/01/2024 proves day first for the whole file. Without any proof, day first is assumed.

    Args:
        file: the table.
        names: columns that may be dates.

    Returns:
        None when there are no dates that end in the year.

    Raises:
        DataError: two columns prove different orders.
    """
    proofs: dict[DateOrder, str] = {}
    doubtful = ""
    for name in names:
        cells = file.columns[name]
        orders = values.date_orders(cells) if all(isinstance(c, str) or c is None for c in cells) else set()
        if len(orders) == 1:
            proofs[orders.pop()] = name
        elif orders:
            doubtful = name
    if len(proofs) == 2:
        raise DataError(
            f"{file.path}: dates have the day first in column '{proofs['dmy']}' but the month first in "
            f"'{proofs['mdy']}'; write one of them as 2024-01-31, or set it to ignore"
        )
    if proofs:
        return next(iter(proofs)), ""
    if doubtful:
        return "dmy", f"column '{doubtful}': dates are read day first; if the month is first, set date_order: mdy"
    return None, ""


def decide(
    file: TableFile,
    target: str,
    given: Mapping[str, ColumnKind] | None = None,
    infer: bool = True,
    order: DateOrder | None = None,
) -> tuple[DateOrder | None, dict[str, ColumnKind], list[str]]:
    """The kind of every column but the target.

    Args:
        file: the table.
        target: the column to predict.
        given: kinds that are settled.
        infer: whether the others may be told from the data.
        order: of day and month, if it is settled.

    Returns:
        The order of day and month, name -> kind, and notes for a person.

    Raises:
        DataError: ``given`` names a column that the table lacks or the target, or not all columns while ``infer`` is
            false; and what `guess` and `date_order` raise.
    """
    given = given or {}
    inputs = [name for name in file.columns if name != target]
    for name in given:
        if name == target:
            raise DataError(f"data.columns: '{name}' is the target; say its kind with 'target_kind'")
        if name not in inputs:
            hint = registry.did_you_mean(name, inputs)
            raise DataError(f"{file.path}: has no column '{name}', which data.columns names{hint}")
    unknown = [name for name in inputs if name not in given]
    if unknown and not infer:
        raise DataError(
            f"{file.path}: column '{unknown[0]}' is not in data.columns; take it out of the file or add it there, "
            "for instance as ignore"
        )
    notes = []
    if order is None:
        order, note = date_order(file, [name for name in inputs if given.get(name, "date") == "date"])
        notes += [note] if note else []
    guesses = {name: guess(file, name, order) for name in unknown}
    notes += [f"column '{name}' is ignored: {found.note}" for name, found in guesses.items() if found.note]
    return order, {name: given[name] if name in given else guesses[name].kind for name in inputs}, notes


def is_identifier(name: str) -> bool:
    """Whether a column's name says that it numbers or names rows.

    >>> [name for name in ("id", "customer_id", "userId", "UUID", "paid", "index", "width") if is_identifier(name)]
    ['id', 'customer_id', 'userId', 'UUID', 'index']
    """
    return _IDENTIFIER.fullmatch(name) is not None


def refuse_typing_errors(file: TableFile, name: str, kind: str, errors: list[int]) -> None:
    """Refuse a column of many different values of which nearly all fit a kind: the rest are most likely typing errors.

    Args:
        file: the table.
        name: the column.
        kind: ``numeric`` or ``date``.
        errors: positions of the cells that do not fit.

    Raises:
        DataError: names the first of them and the ways out.
    """
    present = [cell for cell in file.columns[name] if cell is not None]
    fits = len(present) - len(errors)
    if fits < math.ceil(_MOSTLY * len(present)) or len(set(present)) <= _MANY:
        return
    noun = "numbers" if kind == "numeric" else "dates"
    value = _short(file.columns[name][errors[0]])
    raise DataError(
        f"{file.where(errors[0])}: column '{name}' holds {noun} in {fits:,} of {len(present):,} rows but here "
        f"'{value}'; correct the value, or name it in 'missing', or set the column to category or ignore"
    )


def markers(file: TableFile, name: str) -> Counter[str]:
    """The few texts in a column of numbers (or dates) that stand for "no value", and in how many cells each stands.

    At least half of the cells are numbers and more than 20 of them differ; the others are at most five texts. Empty
    for any other column.

    Args:
        file: the table.
        name: the column.
    """
    cells = file.column(name)
    present = [cell for cell in cells if cell is not None]
    if set(map(type, present)) != {str}:
        return Counter()
    readings: tuple[tuple[str, DateOrder | None], ...] = (("numeric", None), ("date", "dmy"), ("date", "mdy"))
    for kind, order in readings:
        bad = _read(file, name, kind, order)[1]
        texts = Counter(cells[row] for row in bad)
        if len(bad) <= len(present) / 2 and len(texts) <= _FEW and len(set(present)) - len(texts) > _MANY:
            return texts
    return Counter()


def _read(file: TableFile, name: str, kind: str, order: DateOrder | None) -> tuple[np.ndarray, list[int]]:
    cells = file.column(name)
    if kind == "numeric":
        return values.numbers(cells, file.dialect.decimal if file.dialect else None)
    if kind == "boolean":
        return values.booleans(cells)
    if kind == "date":
        return values.dates(cells, order)
    return values.categories(cells)


def _is_boolean(distinct: set[Any]) -> bool:
    """Both words of a pair, in any case; or one of them, unless it is a number, beside blanks."""
    lower = {str(values.category(cell)).lower() for cell in distinct} if len(distinct) <= 4 else set()
    return any(lower == pair or (len(lower) == 1 and lower < pair - {"0", "1"}) for pair in _BOOLEAN_PAIRS)


def _guess_number(name: str, array: np.ndarray) -> Guess:
    whole = bool((array == np.floor(array)).all())
    distinct = len(np.unique(array))
    if whole and distinct == len(array) > 2:
        counts = bool((np.diff(array) == 1).all())
        if counts and (array[0] in (0, 1) or len(array) >= 50):  # fewer may be years
            return Guess("ignore", "it numbers the rows")
    if whole and is_identifier(name) and distinct > _MOSTLY * len(array):
        return Guess("ignore", "it looks like an identifier")
    return Guess("numeric")


def _guess_text(name: str, present: list[str], distinct: int) -> Guess:
    if all(_UUID.fullmatch(text) for text in present):
        return Guess("ignore", "it holds UUIDs")
    words = sum(len(text.split()) for text in present) / len(present)
    length = sum(map(len, present)) / len(present)
    mostly_new = distinct > 0.5 * len(present)
    if mostly_new and (words >= 4 or length > 50):
        return Guess("ignore", "it holds free text, which this kind of model cannot use")
    if distinct == len(present) and len(present) > 2 and is_identifier(name):
        return Guess("ignore", "it looks like an identifier")
    if mostly_new and len(present) >= _MANY:
        return Guess("ignore", f"nearly every row has its own value ({distinct:,} in {len(present):,} rows)")
    return Guess("category")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."
