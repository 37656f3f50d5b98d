"""Search: equal to trying by hand, blind to the test split, repeatable, resumable, honest about luck."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamplighter.core.errors import InterruptedRunError, LamplighterError, RecipeError, RunError, TrainingError
from lamplighter.core.recipe import Recipe
from lamplighter.run import Run, build_source, fit
from lamplighter.search import hyperparameters, search

Make = Callable[..., Recipe]
RATES, WIDTHS = (0.001, 0.03, 0.3), ([4], [16])
GRID = """
search:
  sampler: grid
  space:
    train.optimizer.lr: {choice: [0.001, 0.03, 0.3]}
    model.hidden: {choice: [[4], [16]]}
"""
RANDOM = "search: {sampler: random, trials: 4, space: {train.optimizer.lr: {log: [0.001, 0.3]}}}"


def _best_of(run: Run) -> float:
    return max(record["val/accuracy"] for record in run.history if record["event"] == "epoch")


def test_a_grid_is_the_exhaustive_loop_by_hand(moons: Make, tmp_path: Path) -> None:
    result = search(moons(GRID), tmp_path / "search", progress=False)
    by_hand = {}
    for rate, hidden in itertools.product(RATES, WIDTHS):
        own = moons(**{"train.optimizer.lr": rate, "model.hidden": hidden})
        run = fit(own, tmp_path / f"{rate}-{hidden[0]}", progress=False)
        by_hand[rate, hidden[0]] = _best_of(run)
    found = {
        (trial.params["train.optimizer.lr"], trial.params["model.hidden"][0]): trial.value for trial in result.trials
    }
    assert found == by_hand
    assert list(found) == list(by_hand)  # in the order of the loop
    assert result.best_value == max(by_hand.values())
    assert result.best_recipe.train.optimizer.params["lr"] == result.best_params["train.optimizer.lr"]


def test_the_test_split_is_never_looked_at_and_the_best_recipe_opens_it_once(
    moons: Make, fetched: set[int], tmp_path: Path
) -> None:
    recipe = moons(GRID)
    splits = build_source(recipe).splits
    result = search(recipe, tmp_path / "search", progress=False)
    assert fetched == {*splits.train.tolist(), *splits.val.tolist()}
    for trial in result.trials:
        assert not any(record["event"] == "test_opened" for record in Run(trial.path).history)
        assert "test" not in json.loads((trial.path / "scores.json").read_text())
    with pytest.raises(RunError, match="without opening the test split"):
        Run(result.best_trial.path).metrics
    run = fit(result.path / "best.yaml", tmp_path / "best", progress=False)
    assert _best_of(run) == result.best_value
    assert sum(record["event"] == "test_opened" for record in run.history) == 1
    assert fetched > set(splits.test.tolist())
    best = (result.best_trial.path / "checkpoints" / "best" / "model.safetensors").read_bytes()
    assert (run.path / "checkpoints" / "best" / "model.safetensors").read_bytes() == best


def test_the_folder_has_everything_and_checkpoints_of_the_best_trial_only(moons: Make, tmp_path: Path) -> None:
    result = search(moons(GRID), tmp_path / "search", progress=False)
    names = {entry.name for entry in result.path.iterdir()}
    assert names == {
        "best.yaml", "plan.json", "report.html", "request.yaml", "search.json", "study.journal",
        *(f"trial-{n}" for n in range(6)),
    }  # fmt: skip
    kept = [path.parent.name for path in result.path.glob("trial-*/checkpoints")]
    assert kept == [f"trial-{result.best_trial.number}"]
    written = json.loads((result.path / "search.json").read_text())
    assert written == json.loads(json.dumps(result.to_dict()))
    best = Recipe.load(result.path / "best.yaml")
    assert best.search is None and best == result.best_recipe and best.device == "cpu"
    assert {trial.state for trial in result.trials} == {"complete"}
    assert all(trial.epochs == 2 and list(trial.reports) == [1, 2] for trial in result.trials)
    assert set(result.importance) == {"train.optimizer.lr", "model.hidden"}
    assert sum(result.importance.values()) == pytest.approx(1)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_seed_decides(moons: Make, tmp_path: Path, sampler: str) -> None:
    text = RANDOM.replace("random", sampler)
    one, same = (search(moons(text), tmp_path / name, progress=False) for name in ("one", "same"))
    assert [trial.params for trial in one.trials] == [trial.params for trial in same.trials]
    assert [trial.value for trial in one.trials] == [trial.value for trial in same.trials]
    other = search(moons(text, seed=1, **{"data.split_seed": 0}), tmp_path / "other", progress=False)
    assert [trial.params for trial in other.trials] != [trial.params for trial in one.trials]


def test_a_longer_search_goes_on_and_does_not_repeat_itself(moons: Make, tmp_path: Path) -> None:
    short = search(moons(RANDOM), tmp_path / "search", trials=2, progress=False)
    longer = search(moons(RANDOM), tmp_path / "search", trials=5, resume=True, progress=False)
    assert longer.trials[:2] == short.trials
    values = [trial.params["train.optimizer.lr"] for trial in longer.trials]
    assert len(values) == len(set(values)) == 5
    again = search(moons(RANDOM), tmp_path / "search", trials=5, resume=True, progress=False)
    assert again.trials == longer.trials


def test_an_interrupted_trial_goes_on_from_its_checkpoint(
    moons: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = moons(RANDOM, **{"train.epochs": 3})
    whole = search(recipe, tmp_path / "whole", progress=False)
    original, calls = hyperparameters.Following.on_epoch_end, []

    def interrupt(self: Any, state: Any) -> None:
        original(self, state)
        calls.append(state.epoch)
        if len(calls) == 5:  # the second epoch of the second trial
            import os
            import signal

            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(hyperparameters.Following, "on_epoch_end", interrupt)
    with pytest.raises(InterruptedRunError, match=r"stopped in trial 2 of 4; .* lamp search .*request.yaml --out") as e:
        search(recipe, tmp_path / "broken", progress=False)
    assert e.value.exit_code == 130
    assert (tmp_path / "broken" / "trial-1" / "checkpoints" / "last").is_dir()
    resumed = search(recipe, tmp_path / "broken", resume=True, progress=False)
    complete = [trial for trial in resumed.trials if trial.state == "complete"]
    assert len(complete) == 4
    continued = next(trial for trial in complete if trial.params == whole.trials[1].params)
    assert continued.value == whole.trials[1].value
    assert calls.count(1) == 4, "no trial began twice"


def test_a_trial_whose_process_died_is_taken_up(moons: Make, tmp_path: Path) -> None:
    recipe = moons(RANDOM)
    search(recipe, tmp_path / "search", trials=1, progress=False)
    from lamplighter.search import study as studies

    assert recipe.search is not None
    name = hyperparameters._name(recipe)
    with studies.quiet(), studies.opened(recipe.search, name, tmp_path / "search", "max", 2, 0) as study:
        trial = study.ask()
        trial.suggest_float("train.optimizer.lr", 0.001, 0.3, log=True)
        studies.mark_own(trial)
        trial.set_user_attr("process", 2**22 + 1)  # no process has this number
        alive = study.ask()
        alive.suggest_float("train.optimizer.lr", 0.001, 0.3, log=True)
        studies.mark_own(alive)
        alive.set_user_attr("process", 1)  # this one lives
    resumed = search(recipe, tmp_path / "search", trials=3, resume=True, progress=False)
    assert [trial.state for trial in resumed.trials] == ["complete", "failed", "running", "complete", "complete"]
    assert resumed.trials[3].params == resumed.trials[1].params


def test_a_journal_with_a_torn_last_line_is_read(moons: Make, tmp_path: Path) -> None:
    search(moons(RANDOM), tmp_path / "search", trials=2, progress=False)
    journal = tmp_path / "search" / "study.journal"
    journal.write_bytes(journal.read_bytes() + b'{"op_code": 4, "trial')
    resumed = search(moons(RANDOM), tmp_path / "search", trials=3, resume=True, progress=False)
    assert [trial.state for trial in resumed.trials] == ["complete"] * 3


def test_trials_that_diverge_are_failures_the_search_survives(moons: Make, tmp_path: Path) -> None:
    choices = "[{name: sgd, lr: 1.0e+30}, {name: sgd, lr: 0.1}]"
    text = f"search: {{sampler: grid, space: {{train.optimizer: {{choice: {choices}}}}}}}"
    result = search(moons(text), tmp_path / "search", progress=False)
    assert [trial.state for trial in result.trials] == ["failed", "complete"]
    assert "finite" in result.trials[0].error
    assert result.best_trial.number == 1
    with pytest.raises(TrainingError, match=r"no trial came to its end; the first error: .*finite"):
        search(moons(text.replace("0.1", "1.0e+31")), tmp_path / "hopeless", progress=False)


def test_successive_halving_stops_trials_early_and_saves_epochs(moons: Make, tmp_path: Path) -> None:
    text = """
search:
  sampler: random
  trials: 10
  space: {train.optimizer.lr: {log: [0.00001, 0.3]}}
  metric: {metric: loss, mode: min}
  pruner: PRUNER
"""
    epochs, best = {}, {}
    for pruner in ("none", "successive-halving"):
        recipe = moons(text.replace("PRUNER", pruner), seed=1, **{"train.epochs": 6})
        result = search(recipe, tmp_path / pruner, progress=False)
        stepped = [[r for r in Run(t.path).history if r["event"] == "epoch"] for t in result.trials]
        assert [len(each) for each in stepped] == [trial.epochs for trial in result.trials]
        epochs[pruner], best[pruner] = sum(len(each) for each in stepped), result.best_value
        pruned = [trial for trial in result.trials if trial.state == "pruned"]
        if pruner == "none":
            assert not pruned and epochs["none"] == 10 * 6
        else:
            assert len(pruned) >= 5 and all(trial.value is None and trial.epochs < 6 for trial in pruned)
            stops = [r["reason"] for t in pruned for r in Run(t.path).history if r["event"] == "stop"]
            assert len(stops) == len(pruned) and all(reason.startswith("pruned after epoch") for reason in stops)
    assert epochs["successive-halving"] <= 0.7 * epochs["none"]
    assert best["successive-halving"] <= best["none"] + 0.1


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_other_pruners_run(moons: Make, tmp_path: Path, pruner: str) -> None:
    recipe = moons(RANDOM.replace("trials: 4", f"trials: 8, pruner: {pruner}"), **{"train.epochs": 4})
    result = search(recipe, tmp_path / "search", progress=False)
    assert len(result.trials) == 8 and result.ranked()


def test_coin_flips_are_called_luck(moons: Make, tmp_path: Path) -> None:
    """The best of many on validation rows looks better than chance; the report says by how much."""
    recipe = moons(
        "search: {sampler: random, trials: 16, space: {train.optimizer.lr: {log: [0.001, 0.3]}, "
        "model.hidden: {choice: [[4], [8], [16]]}}}",
        **{"data.coin": True, "data.rows": 500},
    )
    result = search(recipe, tmp_path / "search", progress=False)
    assert result.best_value > 0.53
    assert result.optimism is not None and result.optimism.noise > 0.5
    assert abs(result.best_value - result.optimism.expected - 0.5) < 0.05
    assert "looks better than it is" in result.warning() and "differ mostly by chance" in result.warning()
    assert "differ mostly by chance" in (result.path / "report.html").read_text()
    truth = fit(result.best_recipe, tmp_path / "best", progress=False).metrics["accuracy"]
    assert truth.low < 0.5 < truth.high


def test_the_metric_of_the_search_judges(moons: Make, tmp_path: Path) -> None:
    text = RANDOM.replace("trials: 4", "trials: 3, metric: {metric: loss, mode: min}")
    result = search(moons(text), tmp_path / "search", progress=False)
    assert (result.metric, result.mode) == ("loss", "min")
    losses = [min(r["val/loss"] for r in Run(t.path).history if r["event"] == "epoch") for t in result.trials]
    assert [trial.value for trial in result.trials] == losses
    assert result.best_value == min(losses)
    assert result.best_recipe.train.monitor is not None and result.best_recipe.train.monitor.metric == "loss"


def test_keys_of_the_data_are_searched_in_the_same_splits(moons: Make, tmp_path: Path) -> None:
    from sklearn.datasets import load_wine

    path = tmp_path / "wine.csv"
    load_wine(as_frame=True).frame.to_csv(path, index=False)
    recipe = moons(
        "search: {sampler: grid, space: {data.select.keep: {choice: [2, 13]}, data.batch_size: {choice: [16]}}}",
        data={"name": "table", "path": str(path), "target": "target", "select": {"keep": 5}},
    )
    result = search(recipe, tmp_path / "search", progress=False)
    widths = [len(Run(trial.path).source().signature.inputs) for trial in result.trials]
    assert widths == [2, 13]
    digests = {Run(trial.path).source().splits.digest for trial in result.trials}
    assert digests == {build_source(recipe).splits.digest}
    assert len(np.unique([trial.value for trial in result.trials])) == 2


def test_what_cannot_be_searched_is_said_before_anything_is_trained(moons: Make, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="does not say what to search"):
        search(moons(), tmp_path / "a")
    wrong = moons(
        "search: {space: {train.optimiser.lr: {log: [0.001, 0.1]}, model.hidden: {choice: [[8], wide]}, "
        "train.epochs: {uniform: [1, 2]}}}"
    )
    with pytest.raises(RecipeError) as caught:
        search(wrong, tmp_path / "b")
    text = str(caught.value)
    assert "train.optimiser: unknown key (did you mean 'optimizer'?)" in text
    assert "model.hidden" in text and "train.epochs" in text
    for key in ("seed", "data.path", "train.monitor.metric", "serve.threads"):
        with pytest.raises(RecipeError, match=f"search.space.{key}"):
            search(moons(f"search: {{space: {{{key}: {{choice: [1]}}}}}}"), tmp_path / "c")
    with pytest.raises(RecipeError, match="add points"):
        search(moons(RANDOM.replace("random", "grid")), tmp_path / "d")
    assert not any(tmp_path.iterdir())


def test_folders_and_processes(moons: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = moons(RANDOM, **{"search.trials": 1})
    monkeypatch.chdir(tmp_path)
    assert str(search(recipe, progress=False).path) == "runs/moons/search-1"
    assert str(search(recipe, progress=False).path) == "runs/moons/search-2"
    assert str(search(recipe, resume=True, progress=False).path) == "runs/moons/search-2"
    with pytest.raises(RunError, match="not empty; add --resume"):
        search(recipe, "runs/moons/search-1", progress=False)
    with pytest.raises(RunError, match=r"was made by another recipe(.|\n)*train.epochs: 3, the run has 2"):
        search(moons(RANDOM, **{"train.epochs": 3}), "runs/moons/search-1", resume=True, progress=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(LamplighterError, match="instead of torchrun"):
        search(recipe, progress=False)


def test_a_timeout_begins_no_further_trial(moons: Make, tmp_path: Path) -> None:
    result = search(moons(RANDOM, **{"search.trials": 50}), tmp_path / "search", timeout=0.01, progress=False)
    assert len(result.trials) == 1


def test_data_are_read_once_for_all_trials(moons: Make, tmp_path: Path) -> None:
    """Decoding a folder of images anew for each trial would take longer than training."""
    from lamplighter.core import registry

    source, built = registry.get("source", "watched-moons"), []
    original = source.__init__  # type: ignore[misc]

    @functools.wraps(original)
    def counting(self: Any, *args: Any, **named: Any) -> None:
        built.append(named.get("splits"))
        original(self, *args, **named)

    source.__init__ = counting  # type: ignore[misc]
    try:
        search(moons(RANDOM), tmp_path / "search", progress=False)
        assert len(built) == 1
        search(moons(RANDOM), tmp_path / "search", trials=5, resume=True, progress=False)
        assert len(built) == 2
    finally:
        source.__init__ = original  # type: ignore[misc]
