"""What is lost by training with a rate that a range test chose, beside the best of a grid of eleven rates.

    python benchmarks/lr_rules.py            # writes benchmarks/results/lr_rules.json; about ten minutes
    python benchmarks/lr_rules.py --quick    # one seed of one problem, to see that it works; writes nothing

Each problem is trained with every rate of the grid (0.0001 to 10, two for each factor of ten) under the default
schedule, one-cycle, and judged by validation accuracy after the last epoch. A range test is made with 8, 12 and 20
rates for each factor of ten; the accuracy of the rate that a rule reads off is taken from the grid, between its two
neighbours. "Lost" is the best accuracy of the grid less that. The best of eleven draws flatters itself, so even a
perfect rule would lose about half a point.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lamplighter.core.errors import TrainingError
from lamplighter.core.recipe import Recipe
from lamplighter.data.rows import TensorRows
from lamplighter.run import build_source, build_task
from lamplighter.train import rng
from lamplighter.train.lr_curve import RULES, Rule
from lamplighter.train.lr_finder import MAX_LR, MIN_LR, find_lr
from lamplighter.train.precision import Precision
from lamplighter.train.trainer import Trainer

HERE = Path(__file__).resolve().parent
PROBLEMS: dict[str, dict[str, Any]] = {
    "digits, mlp": {"data": "digits", "model": {"name": "mlp", "hidden": [64]}, "batch_size": 64, "epochs": 12},
    "digits, cnn": {"data": "digits", "model": {"name": "cnn", "width": 8}, "batch_size": 64, "epochs": 8},
    "fashion-mnist, mlp": {"data": "fashion-mnist", "model": {"name": "mlp"}, "batch_size": 128, "epochs": 5},
}
GRID = [10 ** (exponent / 2) for exponent in range(-8, 3)]
PER_DECADE = (8, 12, 20)
ROWS = 6000


def trainer(problem: dict[str, Any], optimizer: str, lr: float, seed: int, sources: dict[str, Any]) -> Trainer:
    """A fresh trainer; large data are cut to 6,000 training and 2,000 validation rows."""
    recipe = Recipe.parse(
        json.dumps(
            {
                "name": "x",
                "seed": seed,
                "data": {"name": problem["data"], "batch_size": problem["batch_size"]},
                "model": problem["model"],
                "task": {"name": "classification"},
                "train": {"optimizer": {"name": optimizer, "lr": lr}, "epochs": problem["epochs"], "precision": "fp32"},
            }
        )
    )
    source = sources.setdefault(problem["data"], build_source(recipe))
    train, val = (source.split(name) for name in ("train", "val"))
    if len(train) > ROWS:
        train = TensorRows(train.tensors, train.positions[:ROWS].numpy())
        val = TensorRows(val.tensors, val.positions[: ROWS // 3].numpy())
    rng.seed_all(seed, "train")
    return Trainer(
        build_task(recipe, source),
        train,
        val,
        settings=recipe.train,
        batch_size=problem["batch_size"],
        seed=seed,
        precision=Precision("fp32", False),
        device=torch.device("cpu"),
        folder=Path(tempfile.mkdtemp()),
    )


def accuracy(trained: Trainer) -> float:
    """Of the last epoch; 0 where training failed."""
    try:
        trained.fit()
    except TrainingError:
        return 0.0
    return trained.state.metrics["val/accuracy"]


def measure(problem: dict[str, Any], optimizer: str, seed: int, sources: dict[str, Any]) -> dict[str, Any]:
    """Accuracies of the grid, and for each rule and fineness the rate and what it loses."""
    scores = [accuracy(trainer(problem, optimizer, lr, seed, sources)) for lr in GRID]
    lost: dict[str, dict[str, Any]] = {}
    for per_decade in PER_DECADE:
        steps = round(per_decade * np.log10(MAX_LR / MIN_LR)) + 1
        curve = find_lr(trainer(problem, optimizer, 1.0, seed, sources), steps=steps)
        for rule, lr in curve.suggestions.items():
            reached = float(np.interp(np.log10(lr), np.log10(GRID), scores))
            lost[f"{rule}, {per_decade}"] = {"lr": lr, "lost": max(scores) - reached}
    for lr in (1e-3, 1e-2, 1e-1):
        reached = float(np.interp(np.log10(lr), np.log10(GRID), scores))
        lost[f"always {lr:g}"] = {"lr": lr, "lost": max(scores) - reached}
    return {"optimizer": optimizer, "seed": seed, "grid": dict(zip(map(str, GRID), scores)), "rules": lost}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    sources: dict[str, Any] = {}
    found: dict[str, list[dict[str, Any]]] = {}
    for name, problem in list(PROBLEMS.items())[: 1 if quick else None]:
        for optimizer in ("adamw", "sgd")[: 1 if quick else None]:
            for seed in range(1 if quick else 3):
                found.setdefault(name, []).append(measure(problem, optimizer, seed, sources))
                print(f"{name}, {optimizer}, seed {seed}: done", flush=True)
    rules: list[Rule] = list(RULES)
    columns = [*(f"{rule}, {n}" for n in PER_DECADE for rule in rules), "always 0.001", "always 0.01", "always 0.1"]
    summary = {}
    print(f"\n{'accuracy lost, points':<26}{'mean':>8}{'worst problem':>16}")
    for column in columns:
        by_problem = [
            np.mean([run["rules"][column]["lost"] for run in runs if run["optimizer"] == optimizer])
            for runs in found.values()
            for optimizer in dict.fromkeys(run["optimizer"] for run in runs)
        ]
        summary[column] = {"mean": float(np.mean(by_problem)), "worst": float(max(by_problem))}
        print(f"{column:<26}{100 * summary[column]['mean']:>8.2f}{100 * summary[column]['worst']:>16.2f}")
    if not quick:
        machine = {"python": platform.python_version(), "torch": torch.__version__, "processors": os.cpu_count()}
        result = {"command": "python benchmarks/lr_rules.py", "machine": machine, "summary": summary, "runs": found}
        (HERE / "results" / "lr_rules.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
