"""The column to predict: classes or numbers, and everything that makes it useless."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamplighter.core.errors import DataError
from lamplighter.data.tables.dialect import Dialect
from lamplighter.data.tables.reading import TableFile
from lamplighter.data.tables.targets import read_sparse_target, read_target


def _file(cells: list[Any]) -> TableFile:
    columns = {"y": cells, "row": list(range(len(cells)))}
    return TableFile(Path("data.csv"), columns, array("q", range(2, len(cells) + 2)), Dialect(",", "utf-8", "."))


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (["b", "a", "b", "a"], ("a", "b")),
        (["1", "0", "1", "0"], ("0", "1")),
        (["yes", "no", "no", "yes"], ("no", "yes")),
        (["10", "9", "2"] * 4, ("2", "9", "10")),  # by value, not by the alphabet
        ([True, False, True, False], ("false", "true")),
        ([2.0, 1.0] * 3, ("1", "2")),
    ],
)
def test_classes(cells: list[Any], labels: tuple[str, ...]) -> None:
    target = read_target(_file(cells), "y")
    assert target.labels == labels
    assert target.values.dtype == np.int64
    texts = [
        {True: "true", False: "false"}[c] if isinstance(c, bool) else f"{c:g}" if isinstance(c, float) else c
        for c in cells
    ]
    assert [labels[code] for code in target.values] == texts


def test_numbers_and_few_whole_numbers() -> None:
    assert read_target(_file([str(n) for n in range(40)]), "y").labels == ()
    assert read_target(_file([f"{n % 3}.5" for n in range(40)]), "y").labels == ()
    stars = _file([str(n % 5 + 1) for n in range(40)])
    target = read_target(stars, "y")
    assert target.labels == ("1", "2", "3", "4", "5")
    assert "set target_kind: numeric" in target.notes[0]
    assert read_target(stars, "y", "numeric").labels == ()
    np.testing.assert_array_equal(read_target(stars, "y", "numeric").values[:6], [1, 2, 3, 4, 5, 1])


def test_blank_targets_are_named_or_left_out() -> None:
    cells = ["1.5", None, "2.5", None, *["3.5", None] * 3]
    with pytest.raises(DataError) as caught:
        read_target(_file(cells), "y")
    assert str(caught.value) == (
        "data.csv: 5 of 10 rows have no value in the target column 'y' (lines 3, 5, 7, 9, 11); "
        "fill them in, or leave those rows out with drop_blank_targets: true"
    )
    target = read_target(_file(cells), "y", drop_blanks=True)
    np.testing.assert_array_equal(target.values, [1.5, 2.5, 3.5, 3.5, 3.5])
    assert target.file.columns["row"] == [0, 2, 4, 6, 8]
    assert target.file.where(1) == "data.csv:4"
    assert "5 of 10 rows" in target.notes[0]
    with pytest.raises(DataError, match="no row has a value in the target"):
        read_target(_file([None, None]), "y", drop_blanks=True)


@pytest.mark.parametrize(
    ("cells", "kind", "words"),
    [
        (["a", "a", "a"], None, "'a' in every row; it takes at least two classes"),
        (["4.5", "4.5"], None, "4.5 in every row; there is nothing to learn"),
        (["a", "b", "b", "a", "c"], None, r"data\.csv:6: class 'c' of target 'y' has this single row"),
        ([f"n{n}" for n in range(40)], None, r"class 'n0' .* this single row \(and 39 more of 40 classes\)"),
        (["1", "2", "x"], "numeric", r"data\.csv:4: column 'y' is numeric in this recipe but holds 'x'"),
        ([*[str(n * 2) for n in range(60)], "x"], None, r"data\.csv:62: column 'y' holds numbers in 60 of 61 rows"),
        ([*[str(n * 2) for n in range(60)], "inf"], None, r"data\.csv:62: .* but here 'inf'"),
    ],
)
def test_useless_targets(cells: list[Any], kind: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_target(_file(cells), "y", kind)


def test_a_missing_column_gets_a_hint() -> None:
    with pytest.raises(DataError, match=r"no column 'rows' \(did you mean 'row'\?\)"):
        read_target(_file(["a", "b"]), "rows")


def test_a_hidden_column_names_the_delimiter() -> None:
    file = TableFile(Path("data.csv"), {'a;"y";b': ["1;2;3"]}, array("q", [2]), Dialect(",", "utf-8", "."))
    for read in (read_target, read_sparse_target):
        with pytest.raises(DataError, match=r"no column 'y': the delimiter ',' .* set data.delimiter to ';'"):
            read(file, "y")
        with pytest.raises(DataError, match="no column 'z'; columns: "):
            read(file, "z")


def test_only_numbers_are_told_to_be_read_as_numbers() -> None:
    for cells in (["a", "b", "b"], ["2024-01-31", "2024-02-01", "2024-02-01"]):
        with pytest.raises(DataError, match=r"add some, or remove it$"):
            read_target(_file(cells), "y")
    with pytest.raises(DataError, match=r"data: \{target_kind: numeric\}$"):
        read_target(_file(["1", "2", "2"]), "y", "category")
