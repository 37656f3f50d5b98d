"""Folders of searches and cross-validations: numbered, never mixed up, and able to say how to go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lamplighter.core.errors import InterruptedRunError, RunError
from lamplighter.core.recipe import Recipe
from lamplighter.search import folder as folders

Make = Callable[..., Recipe]


def test_each_kind_counts_for_itself(moons: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "moons" / "cv-old").mkdir(parents=True)
    (tmp_path / "runs" / "moons" / "7").mkdir()
    names = [str(folders.open_folder(kind, moons(), {}, None, False)) for kind in ("cv", "search", "cv")]
    assert names == ["runs/moons/cv-1", "runs/moons/search-1", "runs/moons/cv-2"]
    assert str(folders.open_folder("cv", moons(), {}, None, True)) == "runs/moons/cv-2"
    with pytest.raises(RunError, match="no other-1 to go on with"):
        folders.open_folder("other", moons(), {}, None, True)


def test_what_is_in_the_way_is_left_alone(moons: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match="this is a file"):
        folders.open_folder("cv", moons(), {}, tmp_path / "file", False)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(RunError, match="not empty"):
            folders.open_folder("cv", moons(), {}, tmp_path / "full", resume)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["letter.txt"]


def test_only_the_length_of_a_search_may_change(moons: Make, tmp_path: Path) -> None:
    text = "search: {trials: 3, space: {train.optimizer.lr: {log: [0.001, 0.1]}}}"
    folders.open_folder("search", moons(text), {"a": 1}, tmp_path / "s", False)
    folders.open_folder(
        "search", moons(text, **{"search.trials": 99, "search.timeout": 5}), {"a": 1}, tmp_path / "s", True
    )
    with pytest.raises(RunError, match=r"search\.sampler: \"random\", the run has \"tpe\""):
        folders.open_folder("search", moons(text, **{"search.sampler": "random"}), {"a": 1}, tmp_path / "s", True)
    with pytest.raises(RunError, match="a: 2, it has 1"):
        folders.open_folder("search", moons(text), {"a": 2}, tmp_path / "s", True)


def test_decisions_of_a_first_training_are_taken_over_and_nothing_else(moons: Make, tmp_path: Path) -> None:
    recipe = moons(**{"train.precision": "auto", "threads": "auto"})
    done = moons(seed=5, **{"train.precision": "bf16", "train.channels_last": True, "threads": 2, "train.epochs": 9})
    taken = folders.settled(recipe, done)
    assert (taken.train.precision, taken.train.channels_last, taken.threads) == ("bf16", True, 2)
    assert (taken.seed, taken.train.epochs) == (recipe.seed, recipe.train.epochs)
    assert folders.settled_by(recipe, [tmp_path / "none"]) == recipe
    (tmp_path / "begun").mkdir()
    done.save(tmp_path / "begun" / "recipe.yaml")
    assert folders.settled_by(recipe, [tmp_path / "none", tmp_path / "begun"]) == taken


def test_an_interruption_says_how_to_go_on(tmp_path: Path) -> None:
    error = InterruptedRunError("stopped", 15)
    found = folders.interrupted(error, "trial 2 of 9", "lamp search {recipe}", Path("a b"))
    assert str(found).endswith("go on with: lamp search 'a b'/request.yaml --out 'a b' --resume")
    assert "stopped in trial 2 of 9" in str(found) and found.exit_code == 143
