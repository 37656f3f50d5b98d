"""``lr: auto`` from a recipe to a run: found once, written down, explained when it cannot be found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lamplighter.core.errors import TrainingError
from lamplighter.core.recipe import Recipe
from lamplighter.data.splits import Splits
from lamplighter.run import Run, build_source, fit
from lamplighter.train.lr_auto import is_auto
from lamplighter.train.trainer import Trainer

Make = Callable[..., Any]
AUTO = ["train.optimizer.lr=auto", "train.epochs=2", "train.precision=fp32", "threads=1", "data.batch_size=64"]
MLP = ["model={name: mlp, hidden: [32]}", "augment=[]"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of digits whose learning rate was found."""
    out = tmp_path_factory.mktemp("auto") / "run"
    return fit(Recipe.load("digits", set=[*AUTO, *MLP]), out=out, progress=False)


def test_the_rate_is_a_number_in_the_resolved_recipe(run: Run) -> None:
    lr = run.recipe.train.optimizer.params["lr"]
    assert isinstance(lr, float) and 0.003 < lr < 0.3
    (event,) = [record for record in run.history if record["event"] == "lr"]
    curve = json.loads((run.path / "lr_finder.json").read_text())
    assert event["chosen"] == curve["chosen"] == lr
    assert event["suggestions"] == curve["suggestions"] and set(event["suggestions"]) == {"steep", "min/10", "valley"}
    assert len(curve["lrs"]) == len(curve["losses"]) == len(curve["smoothed"])
    assert (run.path / "lr_finder.svg").read_text().count("<svg") == 1
    assert Recipe.load(run.path / "requested.yaml").train.optimizer.params["lr"] == "auto"


def test_it_is_the_rate_the_run_was_trained_with(run: Run, tmp_path: Path) -> None:
    """The range test left no trace: a run with that number from the start has the same weights, bit for bit."""
    number = [f"train.optimizer.lr={run.recipe.train.optimizer.params['lr']}", *AUTO[1:], *MLP]
    same = fit(Recipe.load("digits", set=number), out=tmp_path / "same", progress=False)
    one, other = run.task().state_dict(), same.task().state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not (same.path / "lr_finder.json").exists()


def test_a_resume_does_not_search_again(run: Run) -> None:
    before = (run.path / "lr_finder.json").stat().st_mtime_ns
    again = fit(Recipe.load("digits", set=[*AUTO, *MLP]), out=run.path, more_epochs=1, progress=False)
    assert (run.path / "lr_finder.json").stat().st_mtime_ns == before
    assert [record["event"] for record in again.history].count("lr") == 1
    assert again.recipe.train.optimizer.params["lr"] == run.recipe.train.optimizer.params["lr"]


def test_noise_is_refused_with_a_way_out_and_leaves_no_run(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    lines = ["a,b,y", *(f"{a:.4f},{b:.4f},{y:.4f}" for a, b, y in draws.normal(size=(400, 3)))]
    (tmp_path / "noise.csv").write_text("\n".join(lines) + "\n")
    recipe = Recipe.parse(
        json.dumps(
            {
                "name": "noise",
                "data": {"name": "table", "path": str(tmp_path / "noise.csv"), "target": "y"},
                "model": {"name": "mlp"},
                "task": {"name": "regression"},
                "train": {"optimizer": {"name": "adamw", "lr": "auto"}, "precision": "fp32"},
            }
        )
    )
    with pytest.raises(TrainingError, match=r"auto found no learning rate: .*--set train.optimizer.lr=0.001"):
        fit(recipe, out=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def settings(**train: Any) -> Any:
    """A validated ``train`` section."""
    whole = {"name": "x", "data": {"name": "digits"}, "model": {"name": "mlp"}, "task": {"name": "classification"}}
    return Recipe.parse(json.dumps({**whole, "train": train})).train


def test_all_optimizers_or_none() -> None:
    auto, number = {"name": "adamw", "lr": "auto"}, {"name": "sgd", "lr": 0.3}
    assert not is_auto(settings(optimizer=number))
    assert is_auto(settings(optimizer=auto))
    assert is_auto(settings(optimizer=auto, optimizers={"critic": {"name": "sgd", "lr": "auto"}}))
    with pytest.raises(TrainingError, match=r"train\.optimizers\.critic\.lr is 0\.3"):
        is_auto(settings(optimizer=auto, optimizers={"critic": number}))


def test_a_trainer_with_auto_is_an_error_by_itself(make_trainer: Callable[..., Trainer]) -> None:
    with pytest.raises(TrainingError, match="learning-rate finder"):
        make_trainer(settings={"optimizer": {"name": "adamw", "lr": "auto"}})


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize(
    "data, model, batch_size, epochs, most",
    [
        ("digits", {"name": "mlp", "hidden": [64]}, 64, 12, 0.015),
        ("digits", {"name": "cnn", "width": 8}, 64, 8, 0.015),
        ("fashion-mnist", {"name": "mlp"}, 128, 5, 0.04),
    ],
)
def test_the_found_rate_comes_near_the_best_of_a_grid(
    data: str, model: dict[str, Any], batch_size: int, epochs: int, most: float, optimizer: str, tmp_path: Path
) -> None:
    """Best validation accuracy with the found rate, beside that of eight rates from 0.0003 to 1; mean of three seeds.

    6,000 training and 2,000 validation rows at most. The best of eight draws flatters itself by about half a point.
    """
    lost = []
    for seed in range(3):
        document = {
            "name": "x",
            "seed": seed,
            "threads": 1,
            "data": {"name": data, "batch_size": batch_size},
            "model": model,
            "task": {"name": "classification"},
        }
        scores = {}
        for lr in ["auto", *(10 ** (exponent / 2) for exponent in range(-7, 1))]:
            train = {"optimizer": {"name": optimizer, "lr": lr}, "epochs": epochs, "precision": "fp32"}
            recipe = Recipe.parse(json.dumps({**document, "train": train}))
            whole = build_source(recipe).splits
            rest = np.concatenate([whole.train[6000:], whole.val[2000:]])
            splits = Splits(whole.train[:6000], whole.val[:2000], whole.test, unused=rest)
            try:
                run = fit(recipe, out=tmp_path / f"{seed}-{lr}", progress=False, judge=False, splits=splits)
            except TrainingError:  # a rate of the grid that diverges
                scores[lr] = 0.0
                continue
            scores[lr] = max(record["val/accuracy"] for record in run.history if record["event"] == "epoch")
        lost.append(max(scores.values()) - scores["auto"])
    print(f"{data}, {model['name']}, {optimizer}: lost {np.mean(lost):.4f}")
    assert np.mean(lost) <= most, lost
