"""The study behind a search: several processes on one journal, a real PostgreSQL, grids, importances."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from lamplighter.core.errors import LamplighterError
from lamplighter.core.recipe import Recipe, Search
from lamplighter.core.search_space import Parameter
from lamplighter.search import search
from lamplighter.search import study as studies

_spec = importlib.util.spec_from_file_location(
    "monitor_fixtures", Path(__file__).parents[1] / "monitor" / "conftest.py"
)
assert _spec is not None and _spec.loader is not None
_monitor = importlib.util.module_from_spec(_spec)
sys.modules["monitor_fixtures"] = _monitor
_spec.loader.exec_module(_monitor)
postgresql = _monitor.postgresql

SPACE = {"train.optimizer.lr": Parameter(log=(1e-3, 1e-1)), "model.hidden": Parameter(choice=([8], [16], [32]))}
DIGITS = """
name: digits
threads: 1
device: cpu
data: {name: digits, batch_size: 256}
model: {name: mlp, hidden: [8]}
task: {name: classification}
train: {epochs: 1, precision: fp32, optimizer: {name: adamw, lr: 0.01}}
search: SEARCH
"""
RATES, WIDTHS = "{choice: [0.001, 0.01, 0.03, 0.1]}", "{choice: [[8], [16]]}"
GRID = f"{{sampler: grid, space: {{train.optimizer.lr: {RATES}, model.hidden: {WIDTHS}}}}}"


def _settings(**changes: object) -> Search:
    return Search.model_validate({"space": {key: each.model_dump() for key, each in SPACE.items()}, **changes})


def _open(folder: Path, seed: int = 0, **changes: object) -> optuna.Study:
    with studies.quiet(), studies.opened(_settings(**changes), "s", folder, "max", 4, seed) as study:
        return study  # a journal needs no closing


def test_two_processes_share_a_grid_without_doing_anything_twice(tmp_path: Path) -> None:
    """Started together on one folder; between them they try each of the eight combinations once."""
    (tmp_path / "recipe.yaml").write_text(DIGITS.replace("SEARCH", GRID))
    first = ["search", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "search"), "--quiet", "--json"]
    search(Recipe.load(tmp_path / "recipe.yaml"), tmp_path / "search", timeout=0.001, progress=False)  # one trial
    command = [sys.executable, "-m", "lamplighter", *first, "--resume"]
    other = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    seen = 0
    while seen < 2 and other.poll() is None:  # until the other one has begun
        seen = (tmp_path / "search" / "study.journal").read_text().count('"process"')
        time.sleep(0.05)
    search(Recipe.load(tmp_path / "recipe.yaml"), tmp_path / "search", resume=True, progress=False)
    said = other.communicate(timeout=200)
    assert other.returncode == 0, said
    result = search(Recipe.load(tmp_path / "recipe.yaml"), tmp_path / "search", resume=True, progress=False)
    assert [trial.state for trial in result.trials] == ["complete"] * 8
    tried = [json.dumps(trial.params, sort_keys=True) for trial in result.trials]
    assert len(set(tried)) == 8
    with studies.quiet():
        study = optuna.load_study(study_name=None, storage=studies._storage(None, tmp_path / "search"))
    assert len({trial.user_attrs["process"] for trial in study.trials}) == 2


def test_a_postgresql_server_holds_the_study(moons: Callable[..., Recipe], postgresql: str, tmp_path: Path) -> None:
    text = f"search: {{trials: 3, storage: '{postgresql}', space: {{train.optimizer.lr: {{log: [0.001, 0.3]}}}}}}"
    one = search(moons(text), tmp_path / "one-machine", progress=False)
    assert not (tmp_path / "one-machine" / "study.journal").exists()
    other = search(moons(text), tmp_path / "another-machine", trials=5, progress=False)
    assert other.trials[0].value == one.trials[0].value and len(other.trials) == 5
    assert not (tmp_path / "another-machine" / "trial-0").exists()
    assert (tmp_path / "another-machine" / "trial-4").is_dir()
    elsewhere = search(moons(text, **{"train.epochs": 1}), tmp_path / "other-recipe", progress=False)
    assert len(elsewhere.trials) == 3, "another recipe is another study"


def test_a_server_that_is_not_there_is_a_line(moons: Callable[..., Recipe], tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    url = "postgresql://lamp@127.0.0.1:1/none"
    text = f"search: {{storage: '{url}', space: {{train.optimizer.lr: {{log: [0.001, 0.3]}}}}}}"
    with pytest.raises(LamplighterError, match=r"search\.storage: .*cannot be used"):
        search(moons(text), tmp_path / "search", progress=False)


def test_a_grid_that_is_too_large_is_drawn_from(tmp_path: Path) -> None:
    space = {"a": Parameter(integer=(1, 10)), "b": Parameter(integer=(1, 10))}
    study = _open(tmp_path)
    assert studies.plan_grid(study, space, 7, seed=0) == 7
    assert studies.plan_grid(study, space, 7, seed=0) == 7  # planned already
    waiting = study.get_trials(states=(TrialState.WAITING,))
    assert len(waiting) == 7
    numbers = [trial.user_attrs["grid"] for trial in waiting]
    assert numbers == sorted(set(numbers)) and max(numbers) > 20, "spread over the grid, in order"
    assert studies.plan_grid(study, space, 100, seed=0) == 100
    assert len(study.get_trials(states=(TrialState.WAITING,))) == 100


def test_a_study_that_goes_on_draws_other_numbers(tmp_path: Path) -> None:
    def draw(study: optuna.Study) -> float:
        trial = study.ask()
        value = trial.suggest_float("x", 0, 1)
        study.tell(trial, value)
        return value

    first = [draw(_open(tmp_path, sampler="random")) for _ in range(3)]
    assert len(set(first)) == 3
    (tmp_path / "again").mkdir()
    assert [draw(_open(tmp_path / "again", sampler="random")) for _ in range(3)] == first
    (tmp_path / "seed").mkdir()
    assert draw(_open(tmp_path / "seed", seed=1, sampler="random")) != first[0]


def test_importance_finds_the_key_that_matters(tmp_path: Path) -> None:
    study = _open(tmp_path, sampler="random")
    for _ in range(3):
        trial = study.ask()
        study.tell(trial, trial.suggest_float("matters", 0, 1))
    assert studies.importance(study, 0) == {}
    for _ in range(40):
        trial = study.ask()
        study.tell(trial, trial.suggest_float("matters", 0, 1) + 0.02 * trial.suggest_float("hardly", 0, 1))
    found = studies.importance(study, 0)
    assert found["matters"] > 0.9 and sum(found.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("none", optuna.pruners.NopPruner),
        ("median", optuna.pruners.MedianPruner),
        ("successive-halving", optuna.pruners.SuccessiveHalvingPruner),
        ("hyperband", optuna.pruners.HyperbandPruner),
    ],
)
def test_pruners_are_optunas_own(tmp_path: Path, name: str, kind: type) -> None:
    assert type(_open(tmp_path, pruner=name).pruner) is kind


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    """optuna unpickles snapshots of backends that have them; a journal file has none."""
    from optuna.storages.journal._base import BaseJournalSnapshot

    assert not isinstance(studies._storage(None, tmp_path)._backend, BaseJournalSnapshot)
