"""`check` as `lamp doctor` calls it: every planted leak at once, and no alarm on clean data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamplighter.core.seeding import generator
from lamplighter.data.leakage import Finding, check
from lamplighter.data.sources.digits import Digits
from lamplighter.data.sources.text_files import TextFiles


@pytest.mark.parametrize("seed", range(10))
def test_clean_data_give_no_finding(tumours: Any, seed: int) -> None:
    assert check(tumours(seed=seed), seed) == []
    assert check(Digits(seed=seed), seed) == []


def test_all_planted_leaks_at_once_the_certain_first(tumours: Any) -> None:
    rng = generator(0, "all")
    rows = np.append(np.arange(569), np.arange(0, 500, 10))
    from sklearn import datasets

    y = datasets.load_breast_cancer().target[rows]
    extra = {
        "patient_id": [f"p{i % 100}" for i in rng.permutation(619)],
        "visited": [str(np.datetime64("2020-01-01") + int(day)) for day in rng.permutation(619)],
        "histology": np.array(["ductal", "none"])[y].tolist(),
        "stay": np.where(y == 0, 30 + rng.normal(size=619), rng.normal(size=619)).round(3).tolist(),
    }
    whole = {"patient_id": "ignore", "visited": "ignore"}
    found = check(tumours(extra=extra, rows=rows, columns=whole))
    assert [finding.check for finding in found] == [
        "near-duplicates", "target-copy", "single-column", "group", "time-order"
    ]  # fmt: skip
    assert [finding.certain for finding in found] == [True, True, False, False, False]
    without = {key: extra[key] for key in ("patient_id", "visited")}
    found = check(tumours(extra=without, rows=rows, columns=whole))
    assert [finding.check for finding in found] == ["exact-duplicates", "group", "time-order"]
    assert all(isinstance(finding, Finding) and str(finding).count(". ") >= 1 for finding in found)
    assert json.loads(json.dumps([finding.to_dict() for finding in found]))[0]["rows"] == found[0].rows


def test_numeric_targets_and_other_sources_do_not_crash(tmp_path: Any) -> None:
    from lamplighter.data.sources.table import Table

    path = tmp_path / "houses.csv"
    rng = generator(0, "houses")
    rows = [f"{rng.normal()},{'abc'[rng.integers(3)]},,{rng.normal()}" for _ in range(80)]
    path.write_text("\n".join(["size,kind,empty,price", *rows]))
    assert check(Table(str(path), "price")) == []


def test_a_passage_in_two_documents_is_found_among_packed_rows(tmp_path: Path) -> None:
    """No passage is there twice, until a document of test becomes a copy of one of training."""
    words = [f"w{number}" for number in range(400)]
    rng = np.random.default_rng(0)
    for number in range(24):
        (tmp_path / f"{number:02}.txt").write_text(" ".join(rng.choice(words, 60)))
    params: dict[str, Any] = {"tokenizer": "words", "vocab_size": 500, "length": 22, "join": False}
    source = TextFiles(str(tmp_path), **params)
    assert check(source) == []
    train, test = (tmp_path / f"{int(source.splits[name][0]):02}.txt" for name in ("train", "test"))
    test.write_text(train.read_text())
    copied = TextFiles(str(tmp_path), splits=source.splits, **params)
    (found,) = check(copied)
    assert (found.check, found.certain, found.rows) == ("exact-duplicates", True, 3)
    assert found.advice == "Remove the copies from the texts"
    for example in found.examples:
        own, twin = (int(part.split()[1]) for part in example.split(" = "))
        sizes = len(copied.split("train")), len(copied.split("val"))
        (held_out,) = copied.raw("test", np.array([own - sum(sizes)]))
        (trained,) = copied.raw("train", np.array([twin]))
        assert held_out == trained and "(test)" in example and "(train)" in example
