"""Rows of a client: what is encoded, and what is refused with row and field."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from lamplighter.core import registry
from lamplighter.core.errors import InputError, LamplighterError
from lamplighter.data.preprocessing.pipeline import Pipeline
from lamplighter.data.preprocessing.table import EncodeTable

COLUMNS = {
    "age": np.array([20.0, 40.0, math.nan, 30.0]),
    "rooms": np.array([1.0, 2.0, 3.0, 2.0]),
    "city": np.array(["Rome", "Oslo", "Rome", None], dtype=object),
    "sold": np.array([1.0, 0.0, 0.0, 1.0]),
    "day": np.array(["2024-01-01", "2024-05-06", "2024-12-31", "2024-03-04"], dtype="datetime64[us]"),
}
KINDS = {"age": "numeric", "rooms": "numeric", "city": "category", "sold": "boolean", "day": "date"}
GOOD = {"age": 33, "rooms": "2", "city": "Oslo", "sold": True, "day": "2024-02-29"}


def _encode(**options: Any) -> EncodeTable:
    spec = EncodeTable.fit(COLUMNS, KINDS, np.arange(4), ignored=("id", "price"), **options)
    step = Pipeline([json.loads(json.dumps(spec))]).steps[0]  # as a bundle stores it
    assert isinstance(step, EncodeTable)
    return step


def test_the_specification_survives_json_exactly() -> None:
    spec = EncodeTable.fit(COLUMNS, KINDS, np.arange(4))
    again = _encode()
    assert [column.model_dump(mode="json") for column in again.columns] == spec["columns"]
    direct = registry.build("preprocess", "encode-table", {k: v for k, v in spec.items() if k != "name"})
    np.testing.assert_array_equal(direct([GOOD])["x"], again([GOOD])["x"])


def test_one_matrix_of_all_columns() -> None:
    encode = _encode()
    x = encode([GOOD, {"rooms": 3, "sold": "no", "day": "2024-01-01"}])["x"]
    assert x.dtype == np.float32
    assert x.shape == (2, encode.width) == (2, 2 + 1 + 3 + 1 + 5)
    np.testing.assert_allclose(x[0, :2], [(33 - 30) / np.std([20, 40, 30]), 0], rtol=1e-6)
    np.testing.assert_array_equal(x[0, 3:7], [0, 1, 0, 1])
    np.testing.assert_array_equal(x[1, 3:7], [0, 0, 1, 0])
    assert x[1, 1] == 1  # the age is missing


def test_the_same_values_in_other_spellings() -> None:
    encode = _encode(order="dmy", missing=("unknown",))
    plain = encode([{"age": None, "rooms": 2, "city": None, "sold": True, "day": "2024-02-01"}])["x"]
    spelled = encode([{"age": "unknown", "rooms": " 2.0 ", "city": "N/A", "sold": "YES", "day": "1/2/2024", "id": 7}])[
        "x"
    ]
    np.testing.assert_array_equal(plain, spelled)


def test_rows_are_encoded_alone_as_together() -> None:
    encode = _encode()
    rng = np.random.default_rng(0)
    rows = [{**GOOD, "age": float(rng.normal()), "day": f"2024-{1 + n % 12:02}-{1 + n % 28:02}"} for n in range(67)]
    together = encode(rows)["x"]
    alone = np.concatenate([encode([row])["x"] for row in rows])
    np.testing.assert_array_equal(together, alone)
    assert encode([])["x"].shape == (0, encode.width)


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"rooms": "abc"}, "rooms", "expected a finite number, not 'abc'"),
        ({"rooms": "1,5"}, "rooms", "expected a finite number, not '1,5'"),
        ({"rooms": "1,500"}, "rooms", "expected a finite number, not '1,500'"),
        ({"rooms": True}, "rooms", "expected a finite number, not true"),
        ({"rooms": math.inf}, "rooms", "expected a finite number, not Infinity"),
        ({"rooms": math.nan}, "rooms", "expected a finite number, not NaN"),
        ({"rooms": [1]}, "rooms", "expected a finite number, not [1]"),
        ({"rooms": 1e300}, "rooms", "the number is too large for this model"),
        ({"rooms": 10**400}, "rooms", "expected a finite number, not 1000"),
        ({"rooms": None}, "rooms", "is required: no training row was without it"),
        ({"rooms": "NA"}, "rooms", "is required: no training row was without it"),
        ({"city": {"name": "Rome"}}, "city", 'expected a text, not {"name": "Rome"}'),
        ({"sold": "maybe"}, "sold", "expected true or false, not 'maybe'"),
        ({"sold": 2}, "sold", "expected true or false, not 2"),
        ({"day": "31.12.2024"}, "day", "expected a date such as 2024-01-31, not '31.12.2024'"),
        ({"day": 45000}, "day", "expected a date such as 2024-01-31, not 45000"),
        ({"room": 3}, "room", "unknown field (did you mean 'rooms'?); fields: age, rooms, city, sold, day"),
    ],
)
def test_a_bad_value_is_named_by_row_and_field(change: dict[str, Any], field: str, reason: str) -> None:
    encode = _encode()
    with pytest.raises(InputError) as caught:
        encode([GOOD, GOOD, {**GOOD, **change}])
    assert (caught.value.row, caught.value.field) == (2, field)
    assert caught.value.reason.startswith(reason)
    with pytest.raises(InputError) as caught:
        encode([{**GOOD, **change}])
    assert caught.value.row == 0


def test_an_absent_required_field_and_a_row_that_is_no_object() -> None:
    encode = _encode()
    with pytest.raises(InputError, match="row 1, field 'rooms': is required"):
        encode([GOOD, {k: v for k, v in GOOD.items() if k != "rooms"}])
    with pytest.raises(InputError, match=r"row 0: expected an object with the fields age, .* not \[1, 2\]"):
        encode([[1, 2]])


def test_features_for_the_monitor_are_unscaled() -> None:
    encode = _encode()
    rows = [GOOD, {"rooms": 1, "city": "Lima", "sold": 0, "day": "1970-01-02T12:00"}]
    np.testing.assert_array_equal(
        encode.features(rows), np.array([[33, 2, 1, 1, 19782], [math.nan, 1, 2, 0, 1.5]], dtype=np.float32)
    )
    assert encode.feature_specs() == [
        {"name": "age", "kind": "numeric", "categories": ()},
        {"name": "rooms", "kind": "numeric", "categories": ()},
        {"name": "city", "kind": "category", "categories": ("Rome", "Oslo")},
        {"name": "sold", "kind": "category", "categories": ("false", "true")},
        {"name": "day", "kind": "numeric", "categories": ()},
    ]


def test_the_fit_sees_the_training_rows_only() -> None:
    train = np.array([0, 1])
    changed = {name: column.copy() for name, column in COLUMNS.items()}
    changed["age"][3] = 1e9
    changed["rooms"][2:] = [-50, 70]
    changed["city"][2] = "Lima"
    changed["sold"][2:] = 1
    changed["day"][2:] = np.datetime64("1900-01-01")
    assert EncodeTable.fit(changed, KINDS, train) == EncodeTable.fit(COLUMNS, KINDS, train)
    for name, value in {"age": 1e9, "rooms": 5, "city": "Lima", "sold": 0, "day": np.datetime64("1900-01-01")}.items():
        other = {key: column.copy() for key, column in COLUMNS.items()}
        other[name][0] = value  # a training row
        same = EncodeTable.fit(other, KINDS, train) == EncodeTable.fit(COLUMNS, KINDS, train)
        assert same == (name == "sold")  # the fill of a boolean without blanks is a majority: 0 either way


def test_a_damaged_specification_is_refused() -> None:
    spec = {k: v for k, v in EncodeTable.fit(COLUMNS, KINDS, np.arange(4)).items() if k != "name"}
    for change in ({"kind": "odd"}, {"std": 0.0}, {"mean": "x"}, {"surplus": 1}):
        broken = {**spec, "columns": [{**spec["columns"][0], **change}]}
        with pytest.raises(LamplighterError, match="preprocess 'encode-table': columns"):
            registry.build("preprocess", "encode-table", broken)
