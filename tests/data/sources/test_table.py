"""The table source on real tables and on awkward ones."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import datasets

from lamplighter.core import registry
from lamplighter.core.errors import DataError, InputError
from lamplighter.data.sources.table import Table
from lamplighter.data.splits import Splits
from lamplighter.data.tables.reading import iter_rows


def _build(path: Path, target: str, splits: Splits | None = None, seed: int = 0, **params: Any) -> Table:
    source = registry.build(
        "source", "table", {"path": str(path), "target": target, **params}, {"seed": seed, "splits": splits}
    )
    assert isinstance(source, Table)
    return source


def _real(folder: Path, load: Callable[[], Any]) -> Path:
    data = load()
    path = folder / "real.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*data.feature_names, "target"])
        writer.writerows([*row, label] for row, label in zip(data.data.tolist(), data.target.tolist()))
    return path


HOUSES = (
    'Köln;gut;{size},5;1.234.{n:03},50;31.12.2023;ja;"Ein schönes Haus {n}; am Ring, mit Blick";DE',
    'Bonn;NA;{size};999.{n:03};01.02.2024;nein;"Altbau {n} mit ""Charme"" und\nGarten hinter dem Haus";DE',
    "Köln;gut;64,25;310.{n:03},99;15.03.2024;ja;Ein kleines Haus {n} am Rande der Stadt;DE",
    "Aachen;neu;?;480.{n:03};30.04.2024;nein;Sehr ruhig gelegen und frisch gestrichen {n};DE",
)


@pytest.fixture
def houses(tmp_path: Path) -> Path:
    """Semicolons, decimal commas, Windows-1252, blanks, a line break inside quotes; 40 rows."""
    rows = [f"{n + 1};{HOUSES[n % 4].format(n=n, size=60 + n)}" for n in range(40)]
    path = tmp_path / "häuser.csv"
    path.write_bytes(
        "\r\n".join(["id;ort;zustand;fläche;preis;verkauft;garten;bemerkung;land", *rows]).encode("cp1252")
    )
    return path


@pytest.mark.parametrize(
    ("load", "kind", "features"),
    [
        (datasets.load_wine, "category", 13),
        (datasets.load_breast_cancer, "category", 30),
        (datasets.load_iris, "category", 4),
        (datasets.load_diabetes, "numeric", 10),
    ],
)
def test_real_tables(tmp_path: Path, load: Callable[[], Any], kind: str, features: int) -> None:
    source = _build(_real(tmp_path, load), "target")
    data = load()
    assert source.signature.targets[0].kind == kind
    assert source.signature.tensors[0].shape == (features,)
    train = source.splits.train
    batch = source.split("train").fetch(np.arange(len(train)))
    expected = (data.data - data.data[train].mean(axis=0)) / data.data[train].std(axis=0)
    if load is datasets.load_diabetes:  # sex has two values, but is no boolean
        assert [column.kind for column in source.signature.inputs] == ["numeric"] * 10
    np.testing.assert_allclose(batch["x"], expected[train], rtol=0, atol=2e-6)
    y = batch["y"].numpy()
    np.testing.assert_array_equal(y if kind == "category" else y[:, 0], data.target[train].astype(y.dtype))
    assert batch["y"].dtype == (torch.int64 if kind == "category" else torch.float32)


@pytest.mark.parametrize("target", ["preis", "zustand", "ort"])
def test_training_tensors_are_what_serving_makes_of_raw_rows(houses: Path, target: str) -> None:
    source = _build(houses, target, drop_blank_targets=True)
    for name in ("train", "val", "test"):
        rows = source.split(name)
        indices = np.arange(len(rows))[::-1].copy()
        raw = json.loads(json.dumps(source.raw(name, indices)))  # as a client sends them
        np.testing.assert_array_equal(source.preprocessing(raw)["x"], rows.fetch(indices)["x"].numpy())


def test_an_awkward_file_is_understood(houses: Path) -> None:
    source = _build(houses, "preis")
    assert source.resolved() == {
        "path": str(houses),
        "target": "preis",
        "target_kind": "numeric",
        "columns": {
            "id": "ignore",
            "ort": "category",
            "zustand": "category",
            "fläche": "numeric",
            "verkauft": "date",
            "garten": "category",
            "bemerkung": "ignore",
            "land": "ignore",
        },
        "infer_columns": False,
        "delimiter": ";",
        "encoding": "cp1252",
        "decimal": ",",
        "date_order": "dmy",
        "missing": [],
        "drop_blank_targets": False,
        "max_categories": 50,
        "split": [0.7, 0.15, 0.15],
        "select": None,
    }
    assert source.notes == [
        "column 'id' is ignored: it numbers the rows",
        "column 'bemerkung' is ignored: it holds free text, which this kind of model cannot use",
        "column 'land' is ignored: it has the single value 'DE'",
    ]
    assert {column.name: column.required for column in source.signature.inputs} == {
        "ort": True,
        "zustand": False,
        "fläche": False,
        "verkauft": True,
        "garten": True,
    }
    first = source.raw("train", np.array([0]))[0]
    assert first["verkauft"] in ("2023-12-31", "2024-02-01", "2024-03-15", "2024-04-30")


def test_the_resolved_recipe_builds_the_same_source_again(houses: Path) -> None:
    source = _build(houses, "preis")
    again = _build(**{**source.resolved(), "path": houses}, splits=source.splits)
    assert again.resolved() == source.resolved()
    assert again.preprocessing.specs == source.preprocessing.specs
    assert again.signature == source.signature
    assert _build(houses, "preis").splits == source.splits
    assert _build(houses, "preis", seed=1).splits != source.splits


def test_rows_of_the_file_can_be_predicted_as_they_stand(houses: Path) -> None:
    source = _build(houses, "preis")
    kinds = {column.name: column.kind for column in source.signature.inputs}
    x = source.preprocessing(list(iter_rows(houses, kinds)))["x"]
    np.testing.assert_array_equal(
        x[source.splits.val], source.split("val").fetch(np.arange(len(source.splits.val)))["x"]
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("64,25", "viel", r"häuser\.csv:\d+: column 'fläche' is numeric in this recipe but holds 'viel'"),
        (
            "15.03.2024",
            "03/15/2024",
            r"häuser\.csv:\d+: column 'verkauft' is date in this recipe but holds '03/15/2024'",
        ),
        ("garten", "gärten", "has no column 'garten', which data.columns names .did you mean 'gärten'"),
        ("id;ort", "id;neu;ort", "broken row"),
        (";", "\t", "delimiter .;. of the recipe does not look right"),
    ],
)
def test_a_later_file_with_other_types_is_refused(houses: Path, old: str, new: str, message: str) -> None:
    resolved = _build(houses, "preis").resolved()
    houses.write_bytes(houses.read_text("cp1252").replace(old, new).encode("cp1252"))
    with pytest.raises(DataError, match=message):
        _build(**{**resolved, "path": houses})


def test_a_later_file_with_a_further_column_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    rows = [f"{n * 1.5},{n % 3},{'ab'[n % 2]}" for n in range(30)]
    path.write_text("\n".join(["width,size,y", *rows]))
    resolved = _build(path, "y").resolved()
    path.write_text("\n".join(["width,size,y,colour", *[f"{row},red" for row in rows]]))
    with pytest.raises(DataError, match=r"data\.csv: column 'colour' is not in data\.columns"):
        _build(**{**resolved, "path": path})


def test_values_outside_training_change_nothing_that_is_fitted(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    rng = np.random.default_rng(0)
    rows = [
        [f"{rng.normal():.4f}", "abcd"[rng.integers(4)], "yes" if rng.random() < 0.5 else "no", f"{rng.normal():.3f}"]
        for _ in range(200)
    ]
    head = "width,colour,sold,price\n"
    path.write_text(head + "\n".join(map(",".join, rows)))
    source = _build(path, "price")
    changed = [row.copy() for row in rows]
    for position in [*source.splits.val, *source.splits.test]:
        changed[position] = ["12345.5", "purple", "yes", "-987.5"]
    path.write_text(head + "\n".join(map(",".join, changed)))
    again = _build(path, "price", splits=source.splits)
    assert again.preprocessing.specs == source.preprocessing.specs
    assert again.target_statistics() == source.target_statistics()
    assert again.signature == source.signature
    changed[source.splits.train[0]][0] = "12345.5"
    path.write_text(head + "\n".join(map(",".join, changed)))
    assert _build(path, "price", splits=source.splits).preprocessing.specs != source.preprocessing.specs


def test_a_blank_that_only_test_rows_have_is_served(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    rows = [f"{n * 0.5},{'ab'[n % 2]}" for n in range(40)]
    path.write_text("\n".join(["x1,y", *rows]))
    splits = _build(path, "y").splits
    rows[splits.test[0]] = f",{rows[splits.test[0]].partition(',')[2]}"
    path.write_text("\n".join(["x1,y", *rows]))
    source = _build(path, "y", splits=splits)
    assert source.raw("test", np.array([0])) == [{"x1": None}]
    np.testing.assert_array_equal(
        source.split("test").fetch(np.array([0]))["x"], source.preprocessing([{"x1": None}])["x"]
    )


def test_target_statistics_are_of_the_training_rows(tmp_path: Path) -> None:
    source = _build(_real(tmp_path, datasets.load_diabetes), "target")
    y = datasets.load_diabetes().target[source.splits.train]
    mean, std = source.target_statistics()
    np.testing.assert_allclose([mean[0], std[0]], [y.mean(), y.std()], rtol=1e-12)
    with pytest.raises(DataError, match="is a category and has no mean"):
        _build(_real(tmp_path, datasets.load_wine), "target").target_statistics()


def test_kinds_and_missing_markers_of_the_recipe(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text(
        "\n".join(
            ["zip,rank,note,y", *[f"{10000 + n % 3},{n % 4},{'free' if n else '.'},{n * 1.5}" for n in range(40)]]
        )
    )
    source = _build(path, "y", columns={"zip": "category", "note": "ignore"}, missing=["."])
    assert source.resolved()["columns"] == {"zip": "category", "rank": "numeric", "note": "ignore"}
    assert (
        source.signature.inputs[0].categories == ("10000", "10001", "10002")
        or len(source.signature.inputs[0].categories) == 3
    )
    np.testing.assert_array_equal(
        source.preprocessing([{"zip": 10001, "rank": 1}])["x"],
        source.preprocessing([{"zip": "10001", "rank": "1", "note": "x", "y": 3}])["x"],
    )
    with pytest.raises(InputError, match=r"field 'zipp': unknown field \(did you mean 'zip'\?\)"):
        source.preprocessing([{"zipp": 10001, "rank": 1}])


@pytest.mark.parametrize(
    ("text", "params", "message"),
    [
        ("a,b\n1,2\n", {"target": "c"}, "no column 'c'; columns: a, b"),
        ("a,y\n1,x\n2,x\n", {"target": "y"}, "'x' in every row"),
        ("a,y\n1,x\n1,z\n1,x\n1,z\n", {"target": "y"}, "no column is left to predict 'y' from: .*single value '1'"),
        ("y\nx\nz\nx\nz\n", {"target": "y"}, "no column is left to predict 'y' from: the table has no other"),
        ("a,y\n1,x\n2,z\n4,x\n1,z\n", {"target": "y", "columns": {"y": "category"}}, "is the target; say its kind"),
        (
            "a,y\n1,x\n2,z\n4,x\n1,z\n",
            {"target": "y", "columns": {"b": "category"}},
            "has no column 'b', which data.columns",
        ),
        ("a,y\n1,x\n2,z\n4,x\n1,z\n", {"target": "y"}, "would be empty"),
        ("a,y\n1,x\n2,\n4,x\n1,z\n", {"target": "y"}, r"1 of 4 rows have no value in the target column 'y' \(line 3\)"),
        ("a,y\n1,0.5\n2,nan\n4,1\n1,2\n", {"target": "y"}, r"target column 'y' \(line 3\)"),
    ],
)
def test_useless_tables_get_one_clear_line(tmp_path: Path, text: str, params: dict[str, Any], message: str) -> None:
    path = tmp_path / "data.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        _build(path, **params)
    assert "\n" not in str(caught.value)


def test_a_number_that_marks_the_missing(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("\n".join(["x1,y", *[f"{-999 if n % 5 == 0 else n * 0.5},{'ab'[n % 2]}" for n in range(60)]]))
    source = _build(path, "y", missing=["-999"])
    blank = source.preprocessing([{"x1": None}])["x"]
    for spelling in ("-999", -999, -999.0, "-999.0"):
        np.testing.assert_array_equal(source.preprocessing([{"x1": spelling}])["x"], blank)
    assert not (source.preprocessing([{"x1": 999}])["x"] == blank).all()


def test_a_class_that_no_training_row_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("a,y\n" + "".join(f"{n * 1.5},{'rare' if n < 2 else 'xy'[n % 2]}\n" for n in range(40)))
    splits = Splits(np.arange(2, 30), np.array([0, *range(30, 35)]), np.array([1, *range(35, 40)]))
    with pytest.raises(DataError, match="no row of class 'rare' fell into the training split"):
        _build(path, "y", splits=splits)


def test_a_file_that_changed_its_length_does_not_fit_the_saved_split(tmp_path: Path) -> None:
    path = _real(tmp_path, datasets.load_iris)
    splits = _build(path, "target").splits
    path.write_text("\n".join(path.read_text().splitlines()[:-3]))
    with pytest.raises(DataError, match="saved split covers 150 rows"):
        _build(path, "target", splits=splits)


def test_parquet_gives_the_same_source(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = _real(tmp_path, datasets.load_wine)
    data = datasets.load_wine()
    columns = {name: data.data[:, i] for i, name in enumerate(data.feature_names)}
    pq.write_table(pa.table({**columns, "target": data.target}), tmp_path / "real.parquet")
    from_csv, from_parquet = _build(path, "target"), _build(tmp_path / "real.parquet", "target")
    assert from_parquet.preprocessing.specs == from_csv.preprocessing.specs
    assert from_parquet.signature == from_csv.signature
    assert from_parquet.resolved()["delimiter"] is None


def test_a_published_file_whose_header_is_no_header(tmp_path: Path) -> None:
    folder = resources.files("sklearn.datasets") / "data"
    wine = tmp_path / "wine.csv"
    wine.write_bytes((folder / "wine_data.csv").read_bytes())
    with pytest.raises(DataError, match=r"wine\.csv:2: broken row: 14 fields where the header has 5"):
        _build(wine, "target")
    raw = tmp_path / "diabetes.csv"
    raw.write_bytes(gzip.decompress((folder / "diabetes_data_raw.csv.gz").read_bytes()).replace(b" ", b";"))
    with pytest.raises(DataError, match=r"diabetes\.csv:1: the first line looks like data"):
        _build(raw, "target")
