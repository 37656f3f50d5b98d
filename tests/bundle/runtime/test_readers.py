"""Inputs of every kind become rows, and broken ones name their place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lamplighter.bundle.runtime.readers import open_input, table_habits
from lamplighter.core.errors import DataError
from lamplighter.core.signature import Column, Signature, TensorSpec


def signature(*columns: Column) -> Signature:
    tensor = TensorSpec(name="x", dtype="float32", shape=(2,))
    return Signature(inputs=columns, tensors=(tensor,), targets=(Column(name="y", kind="numeric"),))


TABLE = signature(
    Column(name="size", kind="numeric"),
    Column(name="colour", kind="category"),
    Column(name="age", kind="numeric", required=False),
)
IMAGE = signature(Column(name="image", kind="image", shape=(8, 8, 1)))
ARRAY = signature(Column(name="x", kind="array", shape=(2,)))


def put(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_with_a_decimal_comma_and_other_columns(tmp_path: Path) -> None:
    path = put(tmp_path, "in.csv", 'note;size;colour;price\n"a;b";1.234,5; red;2,5\nx;oops;12,5;3\n')
    source = open_input(path, TABLE)
    assert source.names == ["note", "size", "colour", "price"]
    assert source.count() == 2
    first, second = source.items
    assert first.row == {"size": 1234.5, "colour": "red"}
    assert first.cells == {"note": "a;b", "size": "1.234,5", "colour": "red", "price": "2,5"}
    assert first.where == f"{path}:2"
    assert second.row == {"size": "oops", "colour": "12,5"}


@pytest.mark.parametrize(
    ("data", "habits"),
    [
        ({"decimal": ",", "missing": ["-999", "k. A."]}, (",", ("-999", "k. A."))),
        ({"decimal": None, "missing": []}, (None, ())),
        ({}, (None, ())),
        ({"decimal": 3, "missing": "drop"}, (None, ())),  # a source of a user's own
    ],
)
def test_habits_of_the_training_table(data: dict[str, Any], habits: Any) -> None:
    assert table_habits({"data": data}) == habits
    assert table_habits({}) == (None, ())


def test_parquet(tmp_path: Path) -> None:
    table = pa.table({"size": [1.5, None], "colour": ["red", "blue"], "n": [1, 2]})
    pq.write_table(table, tmp_path / "in.parquet")
    source = open_input(tmp_path / "in.parquet", TABLE)
    assert source.count() == 2
    rows = list(source.items)
    assert rows[1].row == {"size": None, "colour": "blue"}
    assert rows[1].cells["n"] == 2
    assert rows[1].where == f"{tmp_path / 'in.parquet'}, row 2"


def test_json_lines(tmp_path: Path) -> None:
    text = '{"size": 1, "colour": "red"}\n\n{"size": "2", "colour": null, "more": [1]}\n'
    path = put(tmp_path, "in.jsonl", text)
    source = open_input(path, TABLE)
    assert source.names == ["size", "colour", "more"]
    rows = list(source.items)
    assert [item.row for item in rows] == [{"size": 1, "colour": "red"}, {"size": "2", "colour": None}]
    assert rows[1].where == f"{path}:3"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "broken row: not JSON"),
        ("[1]", "not list"),
        ('{"size": NaN}', "NaN is not a JSON value"),
        ("\xff", "not JSON"),
    ],
)
def test_broken_json_lines_name_the_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'{"size": 1, "colour": "red"}\n' + line.encode("latin-1") + b"\n")
    with pytest.raises(DataError, match=message) as caught:
        list(open_input(path, TABLE).items)
    assert str(caught.value).startswith(f"{path}:2: ")


def test_a_folder_of_images_in_order_with_subfolders(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpeg", "sub/c.tif", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    source = open_input(tmp_path, IMAGE)
    assert source.names == ["file"]
    assert source.count() == 3
    assert [(item.cells["file"], item.row) for item in source.items] == [
        (name, tmp_path / name) for name in ("a.jpeg", "b.PNG", "sub/c.tif")
    ]
    assert [item.cells for item in open_input(tmp_path / "b.PNG", IMAGE).items] == [{"file": "b.PNG"}]


def test_a_table_of_image_paths(tmp_path: Path) -> None:
    path = put(tmp_path, "in.csv", "image,age\nfaces/1.png,3\n/elsewhere/2.png,4\n,5\n")
    rows = [item.row for item in open_input(path, IMAGE).items]
    assert rows == [tmp_path / "faces/1.png", Path("/elsewhere/2.png"), ""]


def test_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", np.arange(6).reshape(3, 2))
    rows = list(open_input(tmp_path / "in.npy", ARRAY).items)
    assert [item.row.tolist() for item in rows] == [[0, 1], [2, 3], [4, 5]]
    assert rows[2].cells == {"row": 2}
    table = put(tmp_path, "in.csv", "a,b\n1,2.5\n")
    assert next(open_input(table, ARRAY).items).row == [1.0, 2.5]
    lines = put(tmp_path, "in.jsonl", json.dumps({"x": [1, 2]}))
    assert next(open_input(lines, ARRAY).items).row == [1, 2]


@pytest.mark.parametrize(
    ("name", "content", "wanted", "message"),
    [
        ("no.csv", None, TABLE, "no such file or folder"),
        ("in.csv", "sise,colour\n1,red\n", TABLE, r"no column 'size', which the model needs \(did you mean 'sise'\?\)"),
        ("in.csv", "a,b\n1,2\n", signature(Column(name="age", kind="numeric", required=False)), "none of the model's"),
        ("in.csv", "path,b\n1.png,2\n", IMAGE, "no column 'image' with the path of each image"),
        ("in.csv", "size,colour\n1,red\n2\n", TABLE, r"in\.csv:3: broken row: 1 fields"),
        ("in.jsonl", "", TABLE, "the file is empty"),
        ("in.npy", "hello", ARRAY, "not a readable .npy file"),
        ("in.npy", "hello", TABLE, "takes numeric input, not plain arrays"),
        ("in.png", "hello", TABLE, "takes a table"),
        ("in.parquet", "hello", TABLE, "not a readable Parquet file"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, name: str, content: str | None, wanted: Any, message: str) -> None:
    if content is not None:
        put(tmp_path, name, content)
    with pytest.raises(DataError, match=message) as caught:
        list(open_input(tmp_path / name, wanted).items)
    assert "\n" not in str(caught.value)


def test_a_folder_without_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images in this folder"):
        open_input(tmp_path, IMAGE)
