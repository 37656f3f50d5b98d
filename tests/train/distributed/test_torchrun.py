"""What a user types: torchrun starts the command line, one process speaks and writes, and the run is like any other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lamplighter.core.recipe import Recipe
from lamplighter.run import Run, fit
from lamplighter.train import checkpoint

RECIPE = """
name: scans
threads: 1
data: {name: digits, batch_size: 64}
model: {name: mlp, hidden: [64]}
task: {name: classification}
train: {epochs: 2, precision: fp32, optimizer: {name: adamw, lr: 0.01}}
"""


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, "-m", "lamplighter", *arguments], capture_output=True, text=True, timeout=200, env=environment
    )


@pytest.mark.parametrize("strategy", ["auto", pytest.param("fsdp", marks=pytest.mark.slow)])
def test_two_processes_leave_the_run_that_one_leaves(strategy: str, tmp_path: Path) -> None:
    recipe = tmp_path / "scans.yaml"
    recipe.write_text(RECIPE)
    done = torchrun("train", str(recipe), "--out", str(tmp_path / "two"), "--set", f"train.strategy={strategy}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Test scores:") == 1
    assert done.stderr.count("epoch 2/2") == 1
    two, one = Run(tmp_path / "two"), fit(Recipe.load(recipe), tmp_path / "one", progress=False)
    curves = [[r["val/loss"] for r in run.history if r["event"] == "epoch"] for run in (one, two)]
    assert curves[1] == pytest.approx(curves[0], abs=1e-6)
    assert two.metrics["accuracy"] == one.metrics["accuracy"]
    assert (two.path / "report.html").is_file()
    assert len(checkpoint.digest(two.path / "checkpoints" / "best")) == 64, "sharded or not, a teacher has a digest"
    bundle = two.export()
    rows = two.source().raw("test", np.arange(5))
    assert [answer["label"] for answer in bundle.predict(rows)] == [
        answer["label"] for answer in one.export().predict(rows)
    ]


def test_what_is_wrong_is_said_once(tmp_path: Path) -> None:
    recipe = tmp_path / "scans.yaml"
    recipe.write_text(RECIPE.replace("batch_size: 64", "batch_size: 63"))
    done = torchrun("train", str(recipe), "--out", str(tmp_path / "run"))
    assert done.returncode != 0
    assert done.stderr.count("error: batch_size 63 cannot be shared among 2 processes") == 1
    assert "lamplighter/run" not in done.stderr, "no traceback of ours"
    recipe.write_text(RECIPE.replace("digits", "digit"))
    wrong = torchrun("train", str(recipe))
    assert wrong.stderr.count("unknown source 'digit'") == 1


def test_fsdp_alone_is_told_how_to_start(tmp_path: Path) -> None:
    recipe = Recipe.load("digits", set=["train.strategy=fsdp"])
    from lamplighter.core.errors import TrainingError

    with pytest.raises(TrainingError, match="torchrun --nproc-per-node 2"):
        fit(recipe, tmp_path / "run", progress=False)
    assert json.dumps([path.name for path in tmp_path.iterdir()]) == "[]"
