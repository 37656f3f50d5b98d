"""What one cell means: missing, a number, a boolean, a date or a category.

Cells are texts of a CSV file, values of a Parquet file or JSON values of a client; the same functions read all three,
so training and serving cannot disagree. A column is read at once; the positions that do not fit are handed back, since
only the caller knows how to name them.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

DateOrder = Literal["dmy", "mdy"]

MISSING = frozenset({"", "na", "n/a", "#n/a", "<na>", "nan", "null", "?", "-"})
"""Texts that mean "no value", in lower case; compared without regard to case and surrounding space."""
TRUE = frozenset({"true", "t", "yes", "y", "1"})
FALSE = frozenset({"false", "f", "no", "n", "0"})
"""Texts of a boolean, in lower case."""

_WHOLE = re.compile(r"([+-]?(?:0|[1-9][0-9]*))\.0+")
_SPACES = " \u00a0\u202f'"
_EXPONENT = r"(?:[eE][+-]?[0-9]+)?"
_PLAIN = re.compile(rf"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+){_EXPONENT}")
_UNUSUAL = re.compile(r"[^0-9eE+\-.\n]|^[+-]?0[0-9]", re.MULTILINE)
_TIME = r"(?:[T ](?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,6})\d*)?)?"
_ZONE = r"(?P<zone>Z|[+-]\d{2}:?\d{2})?)?"
_YEAR_FIRST = re.compile(
    r"(?P<year>\d{4})(?P<separator>[-/.])(?P<month>\d{1,2})(?P=separator)(?P<day>\d{1,2})" + _TIME + _ZONE, re.ASCII
)
_YEAR_LAST = re.compile(
    r"(?P<first>\d{1,2})(?P<separator>[-/.])(?P<next>\d{1,2})(?P=separator)(?P<year>\d{4})" + _TIME + _ZONE, re.ASCII
)
_EPOCH = datetime.datetime(1970, 1, 1)
_MICROSECOND = datetime.timedelta(microseconds=1)


def _grammar(decimal: str, thousands: str) -> re.Pattern[str]:
    """Numbers with a decimal sign and, between groups of three digits, one and the same thousands sign."""
    grouped = rf"[1-9][0-9]{{0,2}}(?P<group>[{re.escape(thousands)}])[0-9]{{3}}(?:(?P=group)[0-9]{{3}})*"
    point = re.escape(decimal)
    whole = rf"(?:{grouped}|0|[1-9][0-9]*)"
    return re.compile(rf"[+-]?(?:{whole}(?:{point}[0-9]*)?|{point}[0-9]+){_EXPONENT}")


_GRAMMARS = {".": _grammar(".", "," + _SPACES), ",": _grammar(",", "." + _SPACES)}


def is_missing(cell: Any, extra: frozenset[str] = frozenset()) -> bool:
    """Whether a cell stands for "no value".

    Args:
        cell: a text or any other value.
        extra: further markers; ``"-999"`` is also the number -999.

    >>> is_missing(" N/A "), is_missing("none"), is_missing(None)
    (True, False, True)
    >>> [is_missing(cell, frozenset({"-999"})) for cell in ("-999", "-999.0", -999, 999)]
    [True, True, True, False]
    """
    if cell is None:
        return True
    if isinstance(cell, str):
        text = cell.strip()
        if len(text) <= 4 and text.lower() in MISSING:
            return True
        return bool(extra) and (text in extra or category(text) in extra)
    return bool(extra) and category(cell) in extra


def number(text: str, decimal: str | None = None) -> float | None:
    """The number a text stands for, or None. Leading zeros make a code (a zip code), not a number.

    Args:
        text: without surrounding space.
        decimal: the file's decimal sign, ``"."`` or ``","``; the other one, a space or an apostrophe may then group
            thousands. None: plain numbers only, as JSON writes them.

    >>> number("1.234,56", ","), number("1,234.56", "."), number("1 234,5", ","), number("-2.5e-3")
    (1234.56, 1234.56, 1234.5, -0.0025)
    >>> number("1,5", "."), number("007"), number("1_000"), number("inf"), number("1e999")
    (None, None, None, None, None)
    """
    if decimal is None:
        if not _PLAIN.fullmatch(text):
            return None
        value = float(text)
    else:
        match = _GRAMMARS[decimal].fullmatch(text)
        if not match:
            return None
        value = float(text.replace(match["group"] or decimal, "" if match["group"] else ".").replace(decimal, "."))
    return value if math.isfinite(value) else None


def numbers(cells: Sequence[Any], decimal: str | None = None) -> tuple[np.ndarray, list[int]]:
    """A column of numbers.

    Args:
        cells: texts, numbers or None (missing).
        decimal: see `number`.

    Returns:
        float64 (N,), NaN where missing, and the positions of cells that are no finite number.

    >>> numbers(["1", None, "x", 2.5])
    (array([1. , nan, nan, 2.5]), [2])
    """
    fast = _fast_numbers(cells, decimal)
    if fast is not None:
        return fast, []
    return _each(cells, lambda cell: _number_of(cell, decimal), np.float64, math.nan)


def _fast_numbers(cells: Sequence[Any], decimal: str | None) -> np.ndarray | None:
    """The column when it is wholly made of finite numbers, or of plainly written ones, and of blanks; else None."""
    present = [cell for cell in cells if cell is not None]
    kinds = set(map(type, present))
    if kinds == {str}:
        if decimal == "," or _UNUSUAL.search("\n".join(present)):
            return None
    elif not kinds <= {int, float}:
        return None
    try:
        found = np.array([float(cell) for cell in present], dtype=np.float64)
    except (ValueError, OverflowError):
        return None
    if not np.isfinite(found).all():
        return None
    if len(present) == len(cells):
        return found
    values = np.full(len(cells), math.nan)
    values[[cell is not None for cell in cells]] = found
    return values


def _number_of(cell: Any, decimal: str | None) -> float | None:
    if isinstance(cell, str):
        return number(cell.strip(), decimal)
    if isinstance(cell, (bool, np.bool_)) or not isinstance(cell, (int, float, np.integer, np.floating)):
        return None
    try:
        value = float(cell)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def boolean(cell: Any) -> float | None:
    """1.0 for true, t, yes, y and 1, 0.0 for false, f, no, n and 0, in any case; None for anything else.

    >>> boolean("Yes"), boolean("f"), boolean(True), boolean(0), boolean(2), boolean("maybe")
    (1.0, 0.0, 1.0, 0.0, None, None)
    """
    if isinstance(cell, str):
        text = cell.strip().lower()
        return 1.0 if text in TRUE else 0.0 if text in FALSE else None
    if isinstance(cell, (bool, int, float, np.bool_, np.integer, np.floating)) and cell in (0, 1):
        return float(cell)
    return None


def booleans(cells: Sequence[Any]) -> tuple[np.ndarray, list[int]]:
    """A column of booleans: float64 (N,) of 0, 1 and NaN (missing), and the positions that are no boolean."""
    return _each(cells, boolean, np.float64, math.nan)


def category(cell: Any) -> str | None:
    """The text of a category: texts without surrounding space, true, false, and numbers as short as they go.

    Programs write whole numbers with blanks among them as 3.0; the client who sends 3 means the same category.

    >>> category(" red "), category(3), category("3.0"), category(0.5), category(True), category([1])
    ('red', '3', '3', '0.5', 'true', None)
    """
    if isinstance(cell, str):
        text = cell.strip()
        match = _WHOLE.fullmatch(text)
        return match[1] if match else text
    if isinstance(cell, (bool, np.bool_)):
        return "true" if cell else "false"
    if isinstance(cell, (int, np.integer)):
        return str(int(cell))
    if isinstance(cell, (float, np.floating)) and math.isfinite(cell):
        return str(int(cell)) if float(cell).is_integer() else repr(float(cell))
    if isinstance(cell, (datetime.date, datetime.datetime)):
        return cell.isoformat()
    return None


def categories(cells: Sequence[Any]) -> tuple[np.ndarray, list[int]]:
    """A column of category texts: objects (N,), None where missing, and the positions that cannot be a category."""
    return _each(cells, category, object, None)


def date(cell: Any, order: DateOrder | None = None) -> int | None:
    """Microseconds since 1970-01-01 of a date or time; one with an offset is turned into UTC.

    Args:
        cell: ``2024-01-31``, ``2024/1/31``, ``2024-01-31T10:30:00Z``, a ``datetime`` object, and, when ``order`` is
            given, ``31/01/2024``, ``31.1.2024`` or ``31-01-2024``, each with an optional time.
        order: ``"dmy"`` day first, ``"mdy"`` month first, None: dates that start with the year only.

    >>> date("1970-01-02") == date("02.01.1970", "dmy") == date("1/2/1970", "mdy") == 86_400_000_000
    True
    >>> date("02.01.1970"), date("1970-02-30"), date(5)
    (None, None, None)
    """
    if isinstance(cell, str):
        moment = _moment(cell.strip(), order)
    elif isinstance(cell, datetime.datetime):
        moment = cell
    elif isinstance(cell, datetime.date):
        moment = datetime.datetime(cell.year, cell.month, cell.day)
    else:
        return None
    if moment is None:
        return None
    offset = moment.utcoffset() or datetime.timedelta()
    return (moment.replace(tzinfo=None) - _EPOCH - offset) // _MICROSECOND


def _moment(text: str, order: DateOrder | None) -> datetime.datetime | None:
    match = _YEAR_FIRST.fullmatch(text)
    if match:
        month, day = int(match["month"]), int(match["day"])
    else:
        match = _YEAR_LAST.fullmatch(text) if order else None
        if not match:
            return None
        first, second = int(match["first"]), int(match["next"])
        month, day = (second, first) if order == "dmy" else (first, second)
    hour, minute, second = (int(match[part] or 0) for part in ("hour", "minute", "second"))
    micro = int((match["fraction"] or "").ljust(6, "0"))
    try:
        return datetime.datetime(int(match["year"]), month, day, hour, minute, second, micro, _zone(match["zone"]))
    except ValueError:  # no such day, or hour 25
        return None


def _zone(text: str | None) -> datetime.timezone | None:
    if not text or text == "Z":
        return None
    sign = -1 if text[0] == "-" else 1
    return datetime.timezone(sign * datetime.timedelta(hours=int(text[1:3]), minutes=int(text[-2:])))


def dates(cells: Sequence[Any], order: DateOrder | None = None) -> tuple[np.ndarray, list[int]]:
    """A column of dates: datetime64[us] (N,), NaT where missing, and the positions that are no date."""
    none = np.iinfo(np.int64).min  # how numpy stores NaT
    values, bad = _each(cells, lambda cell: date(cell, order), np.int64, none)
    return values.view("datetime64[us]"), bad


def date_orders(cells: Sequence[str | None]) -> set[DateOrder]:
    """Which orders of day and month fit every date of a column; none if no date ends in the year or a cell is no date.

    >>> sorted(date_orders(["01/02/2024", "03/04/2024"])), date_orders(["01/13/2024"]), date_orders(["1.2.24"])
    (['dmy', 'mdy'], {'mdy'}, set())
    """
    present = [cell for cell in cells if cell is not None]
    if not any(_YEAR_LAST.fullmatch(cell) for cell in present):
        return set()
    orders: tuple[DateOrder, ...] = ("dmy", "mdy")
    return {order for order in orders if all(_moment(cell, order) for cell in present)}


def _each(cells: Sequence[Any], read: Callable[[Any], Any], dtype: Any, missing: Any) -> tuple[np.ndarray, list[int]]:
    """Read cell by cell; equal texts are read once."""
    values = np.full(len(cells), missing, dtype=dtype)
    bad: list[int] = []
    known: dict[str, Any] = {}
    for position, cell in enumerate(cells):
        if cell is None:
            continue
        if isinstance(cell, str):
            value = known.get(cell)
            if value is None:
                value = known[cell] = read(cell)
        else:
            value = read(cell)
        if value is None:
            bad.append(position)
        else:
            values[position] = value
    return values, bad
