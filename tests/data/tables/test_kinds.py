"""Which type a column seems to be, and what is refused when it is told to be one."""

from __future__ import annotations

import uuid
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamplighter.core.errors import DataError
from lamplighter.data.tables import kinds
from lamplighter.data.tables.dialect import Dialect
from lamplighter.data.tables.reading import TableFile


def _file(decimal: str = ".", **columns: list[Any]) -> TableFile:
    rows = len(next(iter(columns.values())))
    return TableFile(Path("data.csv"), columns, array("q", range(2, rows + 2)), Dialect(",", "utf-8", decimal))


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1.5", "2", None, "-3e2"], "numeric"),
        (["3", "1", "2", "2"], "numeric"),
        (["0", "1", "1", None], "boolean"),
        (["Yes", "no", "YES"], "boolean"),
        (["T", None, "T"], "boolean"),
        (["1", None, "1"], "numeric"),
        ([True, False], "boolean"),
        ([1, 2.5, None], "numeric"),
        (["2024-01-31", None, "2024-02-01 10:00"], "date"),
        (["red", "blue", "red"], "category"),
        (["01234", "98765", "01234"], "category"),
        (["1", "2", "A", "2"], "category"),
        (["yes", "no", "maybe"], "category"),
        (["2010", "2011", "2012", "2013"], "numeric"),
    ],
)
def test_kinds(cells: list[Any], kind: str) -> None:
    assert kinds.guess(_file(c=cells), "c") == kinds.Guess(kind)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "cells", "words"),
    [
        ("c", [None, None], "no values"),
        ("c", ["x", "x"], "single value 'x'"),
        ("c", ["7.5"] * 3, "single value '7.5'"),
        ("c", ["0", "1", "2", "3"], "numbers the rows"),
        ("c", ["1", "2", "3"], "numbers the rows"),
        ("c", [str(n) for n in range(1000, 1060)], "numbers the rows"),
        ("customer_id", ["93", "17", "55"], "identifier"),
        ("customer_id", [*[str(n * 7) for n in range(99)], "0"], "identifier"),
        ("userId", ["ab", "cd", "ef"], "identifier"),
        ("c", [str(uuid.UUID(int=n * 12345)) for n in range(5)], "UUIDs"),
        ("c", [f"a long review of thing {n} here" for n in range(5)], "free text"),
        ("c", [f"Name{n}" for n in range(30)], "its own value (30 in 30 rows)"),
        ("c", [[1], [2]], "type list"),
        ("c", [b"a", None], "type bytes"),
    ],
)
def test_columns_that_teach_nothing_are_ignored_with_the_reason(name: str, cells: list[Any], words: str) -> None:
    found = kinds.guess(_file(**{name: cells}), name)
    assert found.kind == "ignore"
    assert words in found.note


def test_numbers_that_repeat_or_are_measured_are_no_identifiers() -> None:
    rng = np.random.default_rng(0)
    measured = [f"{value:.6f}" for value in rng.normal(size=200)]
    salaries = [str(value) for value in rng.permutation(100_000)[:200]]
    for cells in (measured, salaries):
        assert kinds.guess(_file(c=cells), "c").kind == "numeric"
    assert kinds.guess(_file(shop_id=[str(n % 5) for n in range(100)]), "shop_id").kind == "numeric"


def test_a_typing_error_among_numbers_is_named_not_turned_into_a_category() -> None:
    cells = [str(n * 3) for n in range(100)]
    cells[40] = "12O"
    with pytest.raises(DataError, match=r"data\.csv:42: column 'age' holds numbers in 99 of 100 rows but here '12O'"):
        kinds.guess(_file(age=cells), "age")
    days = [f"2024-01-{1 + n % 31:02}" for n in range(100)]
    days[3] = "2024-01-32"
    with pytest.raises(
        DataError, match=r"data\.csv:5: column 'day' holds dates in 99 of 100 rows but here '2024-01-32'"
    ):
        kinds.guess(_file(day=days), "day")


def test_decimal_commas_are_numbers_in_such_a_file_only() -> None:
    cells = ["1,5", "2,25", "1.000,5"]
    assert kinds.guess(_file(",", c=cells), "c").kind == "numeric"
    np.testing.assert_array_equal(kinds.typed(_file(",", c=cells), "c", "numeric"), [1.5, 2.25, 1000.5])
    assert kinds.guess(_file(".", c=cells), "c").kind == "category"


def test_a_value_that_does_not_fit_is_named_with_its_line() -> None:
    file = _file(age=["1", None, "abc", "x"], flag=["yes", "no", "2", "no"], day=["2024-01-01", "1/2/2024", None, None])
    with pytest.raises(DataError) as caught:
        kinds.typed(file, "age", "numeric")
    assert str(caught.value) == (
        "data.csv:4: column 'age' is numeric in this recipe but holds 'abc' (and 1 more such values)"
    )
    with pytest.raises(DataError, match=r"data\.csv:4: column 'flag' is boolean in this recipe but holds '2'"):
        kinds.typed(file, "flag", "boolean")
    with pytest.raises(DataError, match=r"data\.csv:3: column 'day' is date in this recipe but holds '1/2/2024'"):
        kinds.typed(file, "day", "date")


def test_date_order_is_proved_by_any_date_of_the_file() -> None:
    def order(**columns: list[Any]) -> tuple[str | None, str]:
        return kinds.date_order(_file(**columns), columns)

    doubt = "column 'a': dates are read day first; if the month is first, set date_order: mdy"
    assert order(a=["01/02/2024"], b=["31/02/2024"]) == ("dmy", doubt)  # 31 February proves nothing
    assert order(a=["01/02/2024", None], b=["01/31/2024", "2/1/2024"]) == ("mdy", "")
    assert order(a=["13.02.2024", None]) == ("dmy", "")
    assert order(a=["2024-01-02"], b=["x"], c=[3]) == (None, "")
    with pytest.raises(DataError, match="day first in column 'a' but the month first in 'b'"):
        order(a=["13/02/2024"], b=["02/13/2024"])
    assert kinds.date_order(_file(a=["13/02/2024"], b=["02/13/2024"]), ["b"]) == ("mdy", "")


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        ([*map(str, range(60)), "k.A.", "k.A.", "x"], {"k.A.": 2, "x": 1}),
        ([f"2024-01-{1 + n % 28:02}" for n in range(60)] + ["open"], {"open": 1}),
        ([f"{1 + n % 28:02}/01/2024" for n in range(60)] + ["open"], {"open": 1}),
        ([*map(str, range(60)), *"abcdef"], {}),
        (["1", "2", "many"] * 20, {}),
        ([*map(str, range(60)), *["a"] * 61], {}),
        ([*map(str, range(60)), None], {}),
        (list("abcd") * 20, {}),
    ],
)
def test_markers(cells: list[Any], found: dict[str, int]) -> None:
    file = TableFile(Path("data.csv"), {"x": cells}, array("q", range(len(cells))), Dialect(",", "utf-8", "."))
    assert kinds.markers(file, "x") == found
