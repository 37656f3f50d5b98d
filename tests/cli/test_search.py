"""`lamp search`, `lamp evaluate --folds` and `--split` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lamplighter.__main__ import main
from lamplighter.run import Run

RECIPE = """
name: small
threads: 1
device: cpu
data: {name: digits, batch_size: 128}
model: {name: mlp, hidden: [16]}
task: {name: classification}
train: {epochs: 1, precision: fp32, optimizer: {name: adamw, lr: 0.01}}
search:
  sampler: random
  trials: 9
  space: {train.optimizer.lr: {log: [0.001, 0.1]}, model.hidden: {choice: [[8], [32]]}}
"""


def lamp(*words: str) -> int:
    try:
        main(list(words))
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(RECIPE)
    return "small.yaml"


def test_search_then_train_what_it_found(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert lamp("search", recipe, "--trials", "2") == 0
    shown = capsys.readouterr()
    assert "Next: lamp train runs/small/search-1/best.yaml" in shown.out
    assert "trial 2/2  accuracy 0." in shown.err
    assert shown.out.count("\t") >= 6
    assert "looks better than it is" in shown.out or "only the test split can say" in shown.out
    assert lamp("search", recipe, "--trials", "3", "--resume", "--json", "--quiet") == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert len(found["trials"]) == 3 and shown.err == ""
    assert lamp("train", found["best_recipe"], "--out", "best", "--quiet") == 0
    history = Run("best").history
    assert sum(record["event"] == "test_opened" for record in history) == 1
    assert max(r["val/accuracy"] for r in history if r["event"] == "epoch") == found["best"]["value"]


def test_search_settings_can_be_overridden_and_mistakes_are_lines(
    recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = "search.space={train.optimizer.lrr: {log: [0.1, 1]}}"
    assert lamp("search", recipe, "--set", wrong, "--quiet") == 2
    err = capsys.readouterr().err
    assert (
        "error: search.space: train.optimizer.lrr: unknown key (did you mean 'lr'?)" in err and "Traceback" not in err
    )
    assert not Path("runs").exists()


def test_evaluate_a_recipe_by_folds(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert lamp("evaluate", recipe, "--folds", "2") == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("2 folds; the test split was not opened. Means over folds:\n")
    assert "Corrected resampled t interval" in shown.out and "fold 2/2  accuracy" in shown.err
    assert lamp("evaluate", recipe, "--folds", "2", "--resume", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["path"] == "runs/small/cv-1" and len(found["folds"]) == 2


def test_the_test_split_is_not_opened_twice_without_saying_so(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert lamp("train", recipe, "--out", "run", "--quiet") == 0
    capsys.readouterr()
    assert lamp("evaluate", "run", "--split", "val", "--json") == 0
    assert json.loads(capsys.readouterr().out)["accuracy"]["n"] == 270
    assert lamp("evaluate", "run", "--split", "test") == 2
    err = capsys.readouterr().err
    assert "the test split was opened before" in err and "--again" in err
    assert lamp("evaluate", "run", "--split", "test", "--again") == 0
    assert "Scores on the test split (the test split was opened 2 times):" in capsys.readouterr().out
    assert lamp("evaluate", "run") == 0
    assert "the test split was opened 2 times" in capsys.readouterr().out
    assert lamp("evaluate", "run", "--split", "all") == 2
    assert "must be train, val or test" in capsys.readouterr().err


def test_copies_across_splits_are_said_before_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from sklearn.datasets import load_wine

    frame = load_wine(as_frame=True).frame
    import pandas

    path = tmp_path / "wine.csv"
    pandas.concat([frame, frame[:60]]).to_csv(path, index=False)
    text = RECIPE.replace("{name: digits, batch_size: 128}", f"{{name: table, path: '{path}', target: target}}")
    (tmp_path / "wine.yaml").write_text(text)
    assert lamp("train", str(tmp_path / "wine.yaml"), "--out", str(tmp_path / "run")) == 0
    assert "have the same inputs as a row of an earlier split" in capsys.readouterr().err
