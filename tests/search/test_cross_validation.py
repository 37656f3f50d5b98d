"""Cross-validation: every fold fitted anew on its own rows, the test split shut, and no leak where one is easy."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import datasets

from lamplighter.core.errors import DataError, InterruptedRunError, RecipeError, RunError
from lamplighter.core.recipe import Recipe
from lamplighter.core.seeding import generator
from lamplighter.data import selection
from lamplighter.run import Run, build_source
from lamplighter.search import cross_validate, cross_validation

Make = Callable[..., Recipe]


def test_folds_cover_training_and_validation_rows_and_never_the_test_split(
    moons: Make, fetched: set[int], tmp_path: Path
) -> None:
    recipe = moons()
    own = build_source(recipe).splits
    result = cross_validate(recipe, 4, out=tmp_path / "cv", progress=False)
    assert not fetched & set(own.test.tolist())
    assert fetched == {*own.train.tolist(), *own.val.tolist()}
    held_out = []
    for fold in result.folds:
        splits = Run(fold.path).source().splits
        held_out.append(splits.test)
        assert set(own.test.tolist()) == set(splits.unused.tolist())
        assert (fold.train, fold.val, fold.held_out) == (len(splits.train), len(splits.val), len(splits.test))
        assert len(splits.val) == pytest.approx(0.25 * (len(splits.train) + len(splits.val)), abs=2)
        assert fold.scores == Run(fold.path).metrics and fold.scores["accuracy"].n == len(splits.test)
    np.testing.assert_array_equal(np.sort(np.concatenate(held_out)), np.sort(np.concatenate([own.train, own.val])))
    values = [fold.scores["accuracy"].value for fold in result.folds]
    assert result.scores["accuracy"].values == tuple(values)
    assert result.scores["accuracy"].mean == pytest.approx(np.mean(values), rel=1e-12)
    assert result.scores["accuracy"].sd == pytest.approx(np.std(values, ddof=1), rel=1e-12)
    assert result.metric == "accuracy"


def test_the_folder_is_complete_and_folds_are_runs(moons: Make, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    result = cross_validate(moons(), 2, progress=False)
    assert str(result.path) == "runs/moons/cv-1"
    assert {entry.name for entry in result.path.iterdir()} == {
        "fold-1", "fold-2", "plan.json", "report.html", "request.yaml", "scores.json",
    }  # fmt: skip
    assert json.loads((result.path / "scores.json").read_text()) == json.loads(json.dumps(result.to_dict()))
    assert Run("runs/moons/cv-1/fold-2").finished
    page = (result.path / "report.html").read_text()
    assert "Nadeau and Bengio" in page and f"{result.scores['accuracy'].mean:.4f}" in page


def test_repeats_divide_anew_and_narrow_nothing_falsely(moons: Make, tmp_path: Path) -> None:
    result = cross_validate(moons(), 2, 2, out=tmp_path / "cv", progress=False)
    assert [(fold.number, fold.repeat) for fold in result.folds] == [(1, 1), (2, 1), (3, 2), (4, 2)]
    tested = [set(Run(fold.path).source().splits.test.tolist()) for fold in result.folds]
    assert tested[0] | tested[1] == tested[2] | tested[3] and tested[0] not in (tested[2], tested[3])
    assert [Run(fold.path).recipe.seed for fold in result.folds] == [0, 0, 1, 1]


def test_precision_and_threads_are_decided_once(moons: Make, tmp_path: Path) -> None:
    recipe = moons(**{"train.precision": "auto"})
    result = cross_validate(recipe, 2, out=tmp_path / "cv", progress=False)
    asked = [Recipe.load(fold.path / "requested.yaml").train.precision for fold in result.folds]
    decided = [Run(fold.path).recipe.train.precision for fold in result.folds]
    assert asked[0] == "auto" and asked[1] == decided[0] == decided[1]


def test_it_goes_on_where_it_was_stopped(moons: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = moons(**{"train.epochs": 2})
    whole = cross_validate(recipe, 3, out=tmp_path / "whole", progress=False)
    original, epochs = cross_validation.Following.on_epoch_end, []

    def interrupt(self: Any, state: Any) -> None:
        original(self, state)
        epochs.append(state.epoch)
        if len(epochs) == 3:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(cross_validation.Following, "on_epoch_end", interrupt)
    with pytest.raises(InterruptedRunError, match=r"fold 2 of 3; .* lamp evaluate .*request.yaml --folds 3 --out") as e:
        cross_validate(recipe, 3, out=tmp_path / "broken", progress=False)
    assert e.value.exit_code == 143
    resumed = cross_validate(recipe, 3, out=tmp_path / "broken", resume=True, progress=False)
    assert resumed.scores == whole.scores
    assert len(epochs) == 6, "no epoch was trained twice"
    with pytest.raises(RunError, match="folds: 4, it has 3"):
        cross_validate(recipe, 4, out=tmp_path / "broken", resume=True, progress=False)
    with pytest.raises(RunError, match="add --resume"):
        cross_validate(recipe, 3, out=tmp_path / "broken", progress=False)


def _table(path: Path, x: np.ndarray, y: np.ndarray, **more: Any) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(f"c{i}" for i in range(x.shape[1])), *more, "y"])
        rows = zip(x.tolist(), y.tolist(), *more.values())
        writer.writerows([*row, *rest, "ab"[label]] for row, label, *rest in rows)


def test_scaling_vocabulary_and_selection_are_fitted_in_each_fold(moons: Make, tmp_path: Path) -> None:
    rng = generator(0, "fit")
    y = rng.integers(0, 2, 120)
    colours = [f"k{i % 30}" for i in rng.permutation(120)]  # each four times: a fold misses some
    path = tmp_path / "data.csv"
    _table(path, rng.normal(size=(120, 6)) + y[:, None] * rng.normal(size=6), y, colour=colours)
    data = {"name": "table", "path": str(path), "target": "y", "select": {"method": "f-test", "keep": 4}}
    result = cross_validate(moons(data=data, **{"train.epochs": 1}), 3, out=tmp_path / "cv", progress=False)
    for fold in result.folds:
        source = Run(fold.path).source()
        scores = selection.score(
            source.columns(), {**dict.fromkeys(source.columns(), "numeric"), "colour": "category"},  # type: ignore[attr-defined]
            y.astype(np.int64), source.splits.train, "f-test",
        )  # fmt: skip
        assert [column.name for column in source.signature.inputs] == selection.choose(scores, 4)
        (step,) = source.preprocessing.specs
        for column in step["columns"]:
            values = source.columns()[column["name"]][source.splits.train]  # type: ignore[attr-defined]
            if column["kind"] == "numeric":
                assert column["mean"] == pytest.approx(values.mean(), rel=1e-9)
            else:
                assert set(column["categories"]) == set(values)


def _noise(moons: Make, path: Path, rows: int, columns: int, seed: int, wrongly: int | None) -> Recipe:
    """Pure noise; ``wrongly``: keep so many columns chosen on all rows, as is often done before cross-validation."""
    rng = generator(seed, "pure noise")
    x, y = rng.normal(size=(rows, columns)), np.arange(rows) % 2
    select: dict[str, Any] | None = {"method": "f-test", "keep": 20}
    if wrongly is not None:
        names = {f"c{i}": x[:, i] for i in range(columns)}
        scores = selection.score(names, dict.fromkeys(names, "numeric"), y, np.arange(rows), "f-test")
        x = np.stack([names[name] for name in selection.choose(scores, wrongly)], axis=1)
        select = None
    _table(path, x, y)
    data = {"name": "table", "path": str(path), "target": "y", "select": select, "batch_size": 16}
    # all rows take part: almost none are set aside as the test split
    data["split"] = [0.78, 0.2, 0.02]
    return moons(data=data, seed=seed, **{"train.epochs": 8, "model.hidden": [], "train.optimizer.lr": 0.02})


@pytest.mark.parametrize("seeds", [1, pytest.param(6, marks=pytest.mark.slow)])
def test_selection_on_pure_noise_scores_a_half_and_done_wrongly_it_does_not(
    moons: Make, tmp_path: Path, seeds: int
) -> None:
    """100 rows, 2,000 columns of noise, 20 kept (the specification's numbers: 0.5 inside folds, 0.84 before them)."""
    right, wrong = [], []
    for seed in range(seeds):
        for wrongly, values in ((None, right), (20, wrong)):
            folder = tmp_path / f"{seed}-{wrongly}"
            folder.mkdir()
            recipe = _noise(moons, folder / "noise.csv", 100, 2000, seed, wrongly)
            result = cross_validate(recipe, 3 if seeds == 1 else 5, out=folder / "cv", progress=False)
            values.append(result.scores["accuracy"].mean)
    print(f"inside folds {np.mean(right):.3f}, before them {np.mean(wrong):.3f}, {seeds} seeds")
    n = 98 * seeds  # rows judged
    assert abs(np.mean(right) - 0.5) < 3 * 0.5 / n**0.5
    assert np.mean(wrong) > 0.75, "the test would not see the leak"


def test_groups_stay_together_and_time_goes_forward(moons: Make, tmp_path: Path) -> None:
    rng = generator(0, "groups")
    y = rng.integers(0, 2, 160)
    people, days = np.arange(160) % 40, rng.permutation(160)
    path = tmp_path / "visits.csv"
    dates = [str(np.datetime64("2024-01-01") + int(day)) for day in days]
    _table(path, rng.normal(size=(160, 3)), y, patient=[f"p{p}" for p in people], day=dates)
    for rule in ({"by": "group", "column": "patient"}, {"by": "time", "column": "day"}):
        columns = {"patient": "ignore", "day": "ignore"}
        data = {"name": "table", "path": str(path), "target": "y", "split": rule, "columns": columns}
        recipe = moons(data=data, **{"train.epochs": 1})
        own = build_source(recipe).splits
        gap = 2 if rule["by"] == "time" else 0
        result = cross_validate(recipe, 3, out=tmp_path / rule["by"], progress=False, gap=gap)
        for fold in result.folds:
            splits = Run(fold.path).source().splits
            assert not set(splits.test.tolist()) & set(own.test.tolist())
            if rule["by"] == "group":
                parts = [set(people[splits[name]].tolist()) for name in ("train", "val", "test")]
                assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
            else:
                assert days[splits.train].max() < days[splits.val].min()
                assert days[splits.test].min() - days[splits.val].max() == 3
                assert days[splits.test].max() < days[own.test].min()
    with pytest.raises(DataError, match="cannot be repeated"):
        cross_validate(recipe, 3, 2, out=tmp_path / "no", progress=False)
    assert not (tmp_path / "no").exists()


def test_nested_searches_in_every_fold_and_judges_what_they_found(
    moons: Make, fetched: set[int], tmp_path: Path
) -> None:
    recipe = moons("search: {sampler: grid, space: {train.optimizer.lr: {choice: [0.00001, 0.1]}}}")
    own = build_source(recipe).splits
    result = cross_validate(recipe, 2, nested=True, out=tmp_path / "cv", progress=False)
    assert not fetched & set(own.test.tolist())
    for fold in result.folds:
        splits = Run(fold.path).source().splits
        found = json.loads((result.path / f"search-{fold.number}" / "search.json").read_text())
        assert found["best"]["params"] == fold.values == {"train.optimizer.lr": 0.1}
        assert Run(fold.path).recipe.train.optimizer.params["lr"] == 0.1
        for trial in found["trials"]:
            assert Run(trial["path"]).source().splits == splits
            assert not any(record["event"] == "test_opened" for record in Run(trial["path"]).history)
    again = cross_validate(recipe, 2, nested=True, out=tmp_path / "cv", resume=True, progress=False)
    assert again.scores == result.scores
    with pytest.raises(RecipeError, match="needs a search section"):
        cross_validate(moons(), 2, nested=True)


def test_numbers_that_make_no_sense(moons: Make, tmp_path: Path) -> None:
    for folds, repeats, gap in ((1, 1, 0), (3, 0, 0), (3, 1, -1)):
        with pytest.raises(DataError, match="take at least 2 folds"):
            cross_validate(moons(), folds, repeats, gap=gap, out=tmp_path / "cv")
    with pytest.raises(DataError, match="500 folds of 192 rows"):
        cross_validate(moons(), 500, out=tmp_path / "cv")
    assert not (tmp_path / "cv").exists()


def test_breast_cancer_scores_what_it_is_known_to(moons: Make, tmp_path: Path) -> None:
    path = tmp_path / "tumours.csv"
    datasets.load_breast_cancer(as_frame=True).frame.to_csv(path, index=False)
    data = {"name": "table", "path": str(path), "target": "target", "batch_size": 32}
    recipe = moons(data=data, **{"train.epochs": 8, "train.optimizer.lr": 0.01})
    result = cross_validate(recipe, 3, out=tmp_path / "cv", progress=False)
    assert 0.94 < result.scores["accuracy"].mean < 0.995
    assert result.scores["accuracy"].low < result.scores["accuracy"].mean < result.scores["accuracy"].high
