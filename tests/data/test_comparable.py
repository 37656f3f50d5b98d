"""Which runs may learn from, or vote with, one another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lamplighter.core import registry
from lamplighter.core.errors import DataError
from lamplighter.core.recipe import Component
from lamplighter.core.signature import Column
from lamplighter.data.comparable import check_same_question, check_unseen, is_same_table
from lamplighter.data.splits import Splits


def digits(seed: int = 0, **params: Any) -> Any:
    return registry.build("source", "digits", params, {"seed": seed})


def test_the_same_data_is_the_same_question_whatever_the_split() -> None:
    check_same_question("runs/a", digits(1), digits())


def test_other_labels_are_refused() -> None:
    other = digits()
    labels = ("zero", *other.signature.labels[1:])
    target = Column(name="label", kind="category", categories=labels)
    other.signature = other.signature.model_copy(update={"targets": (target,)})
    with pytest.raises(DataError, match=r"runs/a predicts 10 classes \(zero, 1, 2, 3, 4, \.\.\.\), this data has 10"):
        check_same_question("runs/a", other, digits())
    number = Column(name="price", kind="numeric")
    other.signature = other.signature.model_copy(update={"targets": (number,)})
    with pytest.raises(DataError, match="predicts the number 'price'"):
        check_same_question("runs/a", other, digits())


def test_other_inputs_are_refused() -> None:
    other = digits()
    tensor = other.signature.tensors[0].model_copy(update={"shape": (1, 16, 16)})
    other.signature = other.signature.model_copy(update={"tensors": (tensor,)})
    with pytest.raises(DataError, match="runs/a takes other inputs"):
        check_same_question("runs/a", other, digits())


def test_columns_scaled_by_other_rows_are_other_inputs(tmp_path: Any) -> None:
    rng = np.random.default_rng(0)
    lines = [f"{rng.normal():.3f},{rng.normal():.3f},{'yn'[i % 2]}" for i in range(60)]
    (tmp_path / "t.csv").write_text("a,b,y\n" + "\n".join(lines) + "\n")
    params = {"path": str(tmp_path / "t.csv"), "target": "y"}
    one, other = (registry.build("source", "table", params, {"seed": seed}) for seed in (0, 1))
    with pytest.raises(DataError, match="how they were scaled"):
        check_same_question("runs/a", other, one)
    check_same_question("runs/a", one, one)


def test_a_run_that_was_trained_on_rows_that_judge_here_is_refused() -> None:
    source = digits()
    check_unseen("runs/a", digits(), source)
    splits = source.splits
    fewer = digits()
    fewer.splits = Splits(splits.train[:100], splits.val, splits.test, splits.train[100:])
    check_unseen("runs/a", fewer, source)
    check_unseen("runs/a", source, fewer)
    leaking = digits()
    leaking.splits = Splits([*splits.train, splits.test[0]], splits.val, splits.test[1:])
    with pytest.raises(DataError, match=r"runs/a was trained on 1 of the 539 rows that validate and test here"):
        check_unseen("runs/a", leaking, source)


def test_positions_mean_the_same_only_in_the_same_table() -> None:
    table = Component(name="table").replace(path="a.csv", target="y", drop_blank_targets=False)
    assert is_same_table(table, table.replace(split=[0.5, 0.2, 0.3]))
    assert not is_same_table(table, table.replace(path="b.csv"))
    assert not is_same_table(table, table.replace(drop_blank_targets=True))
    assert not is_same_table(Component(name="arrays"), Component(name="arrays"))
    assert not is_same_table(table, Component(name="image-table").replace(path="a.csv", target="y"))
