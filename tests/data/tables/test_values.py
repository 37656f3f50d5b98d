"""Cells: numbers in every spelling, booleans, dates against the standard library, categories."""

from __future__ import annotations

import datetime
import math
import random

import numpy as np
import pytest

from lamplighter.data.tables import values


@pytest.mark.parametrize(
    ("text", "decimal", "expected"),
    [
        ("1.234,56", ",", 1234.56),
        ("1.234.567,5", ",", 1234567.5),
        ("1'234,5", ",", 1234.5),
        ("1\u00a0234,5", ",", 1234.5),
        ("1,234,567.25", ".", 1234567.25),
        ("12,5", ",", 12.5),
        (",5", ",", 0.5),
        ("+3", ".", 3.0),
        ("-0.5E+2", ".", -50.0),
        ("5.", ".", 5.0),
        ("1.234", ",", 1234.0),
        ("1,234", ".", 1234.0),
    ],
)
def test_numbers_in_local_spelling(text: str, decimal: str, expected: float) -> None:
    assert values.number(text, decimal) == expected


@pytest.mark.parametrize(
    ("text", "decimal"),
    [
        ("1.23.456", ","),  # groups of two digits
        ("1.234 567,0", ","),  # two signs between groups
        ("0,123", "."),  # a thousands group cannot follow a zero
        ("1,5", "."),
        ("1.5", ","),
        ("12,34,567", "."),
        ("0123", "."),
        ("1e5e5", "."),
        ("0x10", "."),
        ("٣", "."),  # a digit to Python, not in a data file
        ("1_000", "."),
        ("infinity", "."),
        ("1e400", "."),
        ("1,234", None),  # JSON has no thousands signs
        ("", None),
        ("--1", None),
    ],
)
def test_what_is_no_number(text: str, decimal: str | None) -> None:
    assert values.number(text, decimal) is None


def test_the_fast_column_reader_agrees_with_the_cell_reader() -> None:
    rng = random.Random(0)
    pool = [
        "1",
        "-2.5",
        "3e4",
        ".5",
        "5.",
        "+7",
        "007",
        "00.5",
        "0.5",
        "abc",
        "1_0",
        "nan",
        "1e999",
        "",
        "1-2",
        "e",
        "-0",
        " 4 ",
    ]
    for _ in range(300):
        cells = [rng.choice([*pool, None]) for _ in range(rng.randint(0, 4))]
        found, bad = values.numbers(cells)
        one_by_one = [None if cell is None else values.number(cell.strip()) for cell in cells]
        assert bad == [i for i, cell in enumerate(cells) if cell is not None and one_by_one[i] is None], cells
        np.testing.assert_array_equal(found, [math.nan if v is None else v for v in one_by_one])


def test_numbers_of_python_types() -> None:
    found, bad = values.numbers(
        [1, 2.5, None, True, 10**400, math.inf, math.nan, np.float32(0.5), np.int64(3), [1], "4"]
    )
    assert bad == [3, 4, 5, 6, 9]
    np.testing.assert_array_equal(found[[0, 1, 7, 8, 10]], [1, 2.5, 0.5, 3, 4])


def test_long_integers_are_read_exactly_as_python_does() -> None:
    text = "123456789012345678901234567890"
    assert values.numbers([text])[0][0] == float(text) == values.numbers([int(text)])[0][0]


@pytest.mark.parametrize(
    ("text", "order", "expected"),
    [
        ("2024-02-29", None, datetime.datetime(2024, 2, 29)),
        ("2024/2/9", None, datetime.datetime(2024, 2, 9)),
        ("2024-02-29T13:05:07.25Z", None, datetime.datetime(2024, 2, 29, 13, 5, 7, 250000)),
        ("2024-02-29 13:05", None, datetime.datetime(2024, 2, 29, 13, 5)),
        ("2024-02-29T01:00:00+02:00", None, datetime.datetime(2024, 2, 28, 23)),
        ("2024-02-29T23:30:00-0130", None, datetime.datetime(2024, 3, 1, 1)),
        ("31/12/1999", "dmy", datetime.datetime(1999, 12, 31)),
        ("12/31/1999", "mdy", datetime.datetime(1999, 12, 31)),
        ("1.2.2024 08:30", "dmy", datetime.datetime(2024, 2, 1, 8, 30)),
        ("0001-01-01", None, datetime.datetime(1, 1, 1)),
    ],
)
def test_dates(text: str, order: values.DateOrder | None, expected: datetime.datetime) -> None:
    found, bad = values.dates([text], order)
    assert not bad
    assert found[0] == np.datetime64(expected, "us")
    assert values.date(expected) == values.date(text, order)


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("2023-02-29", None),
        ("31/12/1999", "mdy"),
        ("31/12/1999", None),
        ("31/12.1999", "dmy"),
        ("2024-02-29T25:00", None),
        ("2024-02-29T01:00:00+99:00", None),
        ("20240229", None),
        ("2024-02", None),
        ("1.2.24", "dmy"),
    ],
)
def test_what_is_no_date(text: str, order: values.DateOrder | None) -> None:
    assert values.date(text, order) is None


def test_an_aware_datetime_means_the_same_moment_as_its_text() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=-5))
    moment = datetime.datetime(2024, 5, 6, 7, 8, 9, tzinfo=zone)
    assert values.date(moment) == values.date(moment.isoformat()) == values.date("2024-05-06T12:08:09Z")


def test_blanks_become_nan_nat_and_none() -> None:
    assert np.isnan(values.numbers([None])[0][0])
    assert np.isnan(values.booleans([None])[0][0])
    assert np.isnat(values.dates([None])[0][0])
    assert values.categories([None])[0][0] is None


def test_missing_markers_ignore_case_and_none_is_a_word() -> None:
    assert all(values.is_missing(text) for text in ("", "NA", "n/a", "NaN", "NULL", "?", "-", "#N/A"))
    assert not any(values.is_missing(text) for text in ("none", "0", "--", "nab", "no"))
