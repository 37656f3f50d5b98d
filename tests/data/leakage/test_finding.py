"""How findings read, and how rows are named in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lamplighter.data.leakage import finding
from lamplighter.data.leakage.finding import Finding
from lamplighter.data.sources.digits import Digits
from lamplighter.data.sources.text_files import TextFiles
from lamplighter.data.splits import Splits


def test_a_finding_is_a_sentence_with_examples_and_advice() -> None:
    found = Finding("group", False, "column 'id': 3 of 9 test rows are known", 3, ("p1", "p2"), "Keep them together")
    assert str(found) == "column 'id': 3 of 9 test rows are known (for instance p1; p2). Keep them together"
    assert found.to_dict()["examples"] == ["p1", "p2"] and found.to_dict()["check"] == "group"


def test_rows_are_named_by_line_or_by_position(tumours: Any) -> None:
    table = tumours()
    assert finding.row_names(table)(10).endswith(".csv:12")
    digits = Digits()
    row = int(digits.splits.val[3])
    assert finding.row_names(digits)(row) == f"row {row} (val)"


def test_packed_rows_are_counted_through(tmp_path: Path) -> None:
    """Their splits divide documents, of which there are fewer."""
    for number in range(24):
        (tmp_path / f"{number:02}.txt").write_text(f"{number} times one word after another " * (2 + number % 5))
    source = TextFiles(str(tmp_path), vocab_size=300, length=8)
    sizes = [len(source.split(name)) for name in ("train", "val", "test")]
    assert sum(sizes) > 24
    rows = finding.rows_of(source)
    assert [len(each) for each in rows.values()] == sizes
    assert np.concatenate(list(rows.values())).tolist() == list(range(sum(sizes)))
    assert finding.row_names(source)(sizes[0] + 1) == f"row {sizes[0] + 1} (val)"


def test_the_split_of_every_row() -> None:
    splits = Splits(np.array([0, 4]), np.array([1]), np.array([5]), np.array([2]))
    assert finding.split_of_rows(splits, 6).tolist() == [0, 1, -1, -1, 0, 2]
