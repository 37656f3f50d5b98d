"""Fitted columns against scikit-learn, and what each does with blanks and the unseen."""

from __future__ import annotations

import datetime
import math

import numpy as np
import pytest
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from lamplighter.data.tables.encodings import Boolean, Category, Date, Numeric, moments

EVERY = np.arange


def test_numbers_equal_the_standard_scaler() -> None:
    rng = np.random.default_rng(0)
    column = rng.normal(1e6, 3.0, size=500)
    train = rng.permutation(500)[:300]
    encoding = Numeric.fit("c", column, train)
    scaler = StandardScaler().fit(column[train, None])
    np.testing.assert_allclose(encoding.encode(column), scaler.transform(column[:, None]), rtol=0, atol=1e-9)
    assert encoding.fill == np.median(column[train])


@pytest.mark.parametrize("scale", [1e-300, 1e-5, 1.0, 1e300])
def test_moments_of_tiny_and_huge_numbers(scale: float) -> None:
    values = np.array([-1.0, 2.0, 0.5, math.nan, 1.25])
    mean, std, median = moments(values * scale)
    assert mean == pytest.approx(np.nanmean(values) * scale, rel=1e-12)
    assert std == pytest.approx(np.nanstd(values) * scale, rel=1e-12)
    assert median == pytest.approx(np.nanmedian(values) * scale, rel=1e-12)


def test_a_column_that_is_constant_in_training_is_zero_there() -> None:
    column = np.array([0.1, 0.1, 0.1, 5.1])
    np.testing.assert_array_equal(Numeric.fit("c", column, EVERY(3)).encode(column)[:, 0], [0, 0, 0, 5.0])


def test_blanks_become_the_training_median_and_set_the_indicator() -> None:
    column = np.array([1.0, math.nan, 3.0, 11.0, math.nan])
    encoding = Numeric.fit("c", column, EVERY(4))
    encoded = encoding.encode(column)
    assert encoding.fill == 3.0
    assert not encoding.required
    np.testing.assert_array_equal(encoded[:, 1], [0, 1, 0, 0, 1])
    assert encoded[1, 0] == encoded[2, 0] == encoded[4, 0]


def test_blanks_outside_training_are_filled_without_an_indicator() -> None:
    encoding = Numeric.fit("c", np.array([1.0, 2.0, math.nan]), EVERY(2))
    assert (encoding.width, encoding.required) == (1, False)
    assert encoding.encode(np.array([math.nan]))[0, 0] == 0.0  # the median is the mean here


def test_booleans() -> None:
    column = np.array([1.0, 1.0, 0.0, math.nan])
    encoding = Boolean.fit("c", column, EVERY(4))
    np.testing.assert_array_equal(encoding.encode(column), [[1, 0], [1, 0], [0, 0], [1, 1]])
    np.testing.assert_array_equal(encoding.feature(column), column)


def test_categories_equal_the_one_hot_encoder() -> None:
    rng = np.random.default_rng(1)
    column = np.array(rng.choice(list("abcdef"), size=200, p=[0.4, 0.25, 0.15, 0.1, 0.06, 0.04]), dtype=object)
    encoding = Category.fit("c", column, EVERY(150), max_categories=50)
    oracle = OneHotEncoder(categories=[list(encoding.categories)], handle_unknown="ignore", sparse_output=False)
    oracle.fit(column[:150, None])
    unseen = np.array(["a", "z", "F"], dtype=object)
    for cells in (column, unseen):
        np.testing.assert_array_equal(encoding.encode(cells), oracle.transform(cells[:, None]))


def test_the_most_frequent_categories_get_a_place_and_the_rest_share_one() -> None:
    column = np.array(["c", "b", "b", "a", "a", "d", None], dtype=object)
    encoding = Category.fit("c", column, EVERY(7), max_categories=3)
    assert encoding.categories == ("a", "b", "c")  # ties by the alphabet
    expected = [[0, 1, 0, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1]]
    cells = np.array(["b", "d", "never seen", None], dtype=object)
    np.testing.assert_array_equal(encoding.encode(cells), expected)
    np.testing.assert_array_equal(encoding.feature(cells), [1, 3, 3, math.nan])


def test_an_unseen_category_has_no_untrained_weight() -> None:
    encoding = Category.fit("c", np.array(["a", "b"], dtype=object), EVERY(2), max_categories=50)
    assert encoding.width == 2
    np.testing.assert_array_equal(encoding.encode(np.array(["z", None], dtype=object)), [[0, 0], [0, 0]])


def test_dates_against_the_calendar() -> None:
    moments_ = [
        datetime.datetime(1999, 12, 31, 18),
        datetime.datetime(2024, 2, 29),
        datetime.datetime(1969, 7, 20, 20, 17),
    ]
    column = np.array(moments_, dtype="datetime64[us]")
    encoding = Date.fit("c", column, EVERY(3), None)
    days = np.array(
        [m.toordinal() - datetime.date(1970, 1, 1).toordinal() + m.hour / 24 + m.minute / 1440 for m in moments_]
    )
    expected = np.stack(
        [
            (days - days.mean()) / days.std(),
            [math.sin(2 * math.pi * (m.month - 1) / 12) for m in moments_],
            [math.cos(2 * math.pi * (m.month - 1) / 12) for m in moments_],
            [math.sin(2 * math.pi * m.weekday() / 7) for m in moments_],
            [math.cos(2 * math.pi * m.weekday() / 7) for m in moments_],
        ],
        axis=1,
    )
    np.testing.assert_allclose(encoding.encode(column), expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(encoding.feature(column), days)


def test_blank_dates() -> None:
    column = np.array(["2024-01-01", "NaT", "2024-01-03"], dtype="datetime64[us]")
    encoding = Date.fit("c", column, EVERY(3), "dmy")
    encoded = encoding.encode(column)
    np.testing.assert_array_equal(encoded[1], [0, 0, 0, 0, 0, 1])
    assert np.isnan(encoding.feature(column)[1])
