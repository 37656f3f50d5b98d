"""Ensembles and distillation through whole runs: proofs on data, and resumes that change not a bit."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import make_moons

from lamplighter.core.errors import DataError, InterruptedRunError, RunError
from lamplighter.core.recipe import Recipe
from lamplighter.data.splits import Splits
from lamplighter.run import Run, fit
from lamplighter.train.callbacks.base import Callback, State

DIGITS = """
name: digits
threads: 1
data: {name: digits, batch_size: 64}
model: {name: mlp, hidden: [16], dropout: 0.1}
task: {name: classification}
train: {epochs: 3, precision: fp32, optimizer: {name: adamw, lr: 0.01}}
"""


def recipe(**changes: Any) -> Recipe:
    return Recipe.parse(DIGITS).with_(**changes)


def weights(run: Path, which: str = "last") -> bytes:
    return (run / "checkpoints" / which / "model.safetensors").read_bytes()


def compared(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.path / "scores.json").read_text())["compared"]
    return found


class Stop(Callback):
    """Interrupts the training once, in the middle of an epoch."""

    def __init__(self) -> None:
        self.armed = True

    def on_step_end(self, state: State) -> None:
        if state.step == 27 and self.armed:
            self.armed = False
            signal.raise_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fit(
        recipe(model={"name": "mlp", "hidden": [64]}), tmp_path_factory.mktemp("teacher") / "run", progress=False
    )


@pytest.mark.parametrize("kind", ["deep", "bagging", "vmap", "distillation", "augmented distillation"])
def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(kind: str, teacher: Run, tmp_path: Path) -> None:
    taught = {"name": "distillation", "teacher": str(teacher.path), "features": 0.1}
    tasks: dict[str, dict[str, Any]] = {
        "deep": {"name": "ensemble", "members": 3},
        "bagging": {"name": "ensemble", "members": 3, "bagging": True},
        "vmap": {"name": "ensemble", "members": 3, "vmap": True},
        "distillation": taught,
        "augmented distillation": taught,
    }
    augment = ({"name": "random-shift", "pixels": 1},) if "augmented" in kind else ()
    chosen = recipe(task=tasks[kind], augment=augment)
    whole = fit(chosen, tmp_path / "whole", callbacks=[Callback()], progress=False)
    stop = Stop()
    with pytest.raises(InterruptedRunError):
        fit(chosen, tmp_path / "resumed", callbacks=[stop], progress=False)
    resumed = fit(chosen, tmp_path / "resumed", resume=True, callbacks=[stop], progress=False)
    assert weights(resumed.path) == weights(whole.path)
    assert weights(resumed.path, "best") == weights(whole.path, "best")
    assert resumed.metrics == whole.metrics


def test_the_first_member_learns_what_a_run_of_its_own_learns(tmp_path: Path) -> None:
    plain = recipe(model={"name": "mlp", "hidden": [16]})
    alone = fit(plain, tmp_path / "alone", progress=False)
    together = fit(plain.with_(task={"name": "ensemble", "members": 3}), tmp_path / "together", progress=False)
    own, ours = alone.task("last").state_dict(), together.task("last").state_dict()
    for name, tensor in own.items():
        assert torch.equal(ours[f"members.0.{name}"], tensor)
    models = compared(together)["models"]
    assert [model["name"] for model in models] == ["this model", "member 1", "member 2", "member 3"]
    assert models[0]["parameters"] == 3 * models[1]["parameters"]
    losses = [record["train/loss"] for record in together.history if record["event"] == "epoch"]
    first = [record["train/loss"] for record in alone.history if record["event"] == "epoch"]
    assert losses == pytest.approx(first, rel=0.3)  # the mean of the members, not their sum


def test_vmap_trains_what_the_loop_trains(tmp_path: Path) -> None:
    # plain SGD: AdamW blows the rounding of gradients that are 0 up to the size of a step
    train = {"epochs": 2, "precision": "fp32", "optimizer": {"name": "sgd", "lr": 0.05}}
    base = recipe(model={"name": "mlp", "hidden": [16], "norm": "batch"}, train=train)
    runs = [
        fit(base.with_(task={"name": "ensemble", "members": 3, "vmap": vmap}), tmp_path / str(vmap), progress=False)
        for vmap in (False, True)
    ]
    states = [run.task("last").state_dict() for run in runs]
    for name, tensor in states[0].items():
        torch.testing.assert_close(states[1][name], tensor, rtol=1e-3, atol=1e-4)
    assert abs(runs[0].metrics["loss"].value - runs[1].metrics["loss"].value) < 1e-3


SEEDS = [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3, 4))]


@pytest.mark.parametrize("seed", SEEDS)
def test_five_bagged_networks_beat_their_mean_on_moons(seed: int, tmp_path: Path) -> None:
    x, y = make_moons(400, noise=0.35, random_state=seed)
    lines = [f"{a:.6f},{b:.6f},{'no' if label else 'yes'}" for (a, b), label in zip(x, y)]
    (tmp_path / "moons.csv").write_text("a,b,y\n" + "\n".join(lines) + "\n")
    run = fit(
        Recipe.parse(
            f"{{name: moons, seed: {seed}, threads: 1, model: {{name: mlp, hidden: [64, 64]}}, "
            f"data: {{name: table, path: {tmp_path}/moons.csv, target: y, batch_size: 25, split: [0.3, 0.2, 0.5]}}, "
            "task: {name: ensemble, members: 5, bagging: true}, bundle: {calibrate: false}, "
            "train: {epochs: 70, precision: fp32, validate_every: 70, optimizer: {name: adamw, lr: 0.01}, "
            "schedule: {name: constant}}}"
        ),
        tmp_path / "run",
        progress=False,
    )
    own, *members = (model["scores"] for model in compared(run)["models"])
    assert own["loss"]["value"] < np.mean([member["loss"]["value"] for member in members]) - 0.05
    assert own["ece"]["value"] < np.mean([member["ece"]["value"] for member in members])
    outside = compared(run)["out_of_bag"]
    assert 90 < outside["rows"] <= 120
    assert abs(outside["scores"]["accuracy"]["value"] - own["accuracy"]["value"]) < 0.12


def test_a_changed_teacher_is_refused_when_a_run_is_resumed(teacher: Run, tmp_path: Path) -> None:
    chosen = recipe(task={"name": "distillation", "teacher": str(tmp_path / "teacher")})
    (tmp_path / "teacher").symlink_to(teacher.path)
    stop = Stop()
    with pytest.raises(InterruptedRunError):
        fit(chosen, tmp_path / "student", callbacks=[stop], progress=False)
    (tmp_path / "teacher").unlink()
    fit(recipe(model={"name": "mlp", "hidden": [60]}), tmp_path / "teacher", progress=False)
    with pytest.raises(RunError, match="the teacher's weights are not those that this training began with"):
        fit(chosen, tmp_path / "student", resume=True, callbacks=[stop], progress=False)


def test_a_teacher_that_saw_the_rows_that_judge_is_refused(teacher: Run, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"was trained on \d+ of the 539 rows that validate and test here"):
        fit(recipe(task={"name": "distillation", "teacher": str(teacher.path)}, seed=1), tmp_path / "s", progress=False)
    assert not (tmp_path / "s").exists()
    same = teacher.recipe.data.replace(split_seed=0)
    fit(recipe(task={"name": "distillation", "teacher": str(teacher.path)}, seed=1, data=same), tmp_path / "s",
        progress=False)  # fmt: skip


def test_a_teacher_that_was_never_trained_is_refused(tmp_path: Path) -> None:
    """The source text's teacher: random weights."""
    untrained = recipe(train={"epochs": 1, "precision": "fp32", "optimizer": {"name": "sgd", "lr": 1e-9}})
    fit(untrained, tmp_path / "random", progress=False)
    with pytest.raises(DataError, match="not clearly more than always answering the most frequent class"):
        fit(recipe(task={"name": "distillation", "teacher": str(tmp_path / "random")}), tmp_path / "s", progress=False)


def test_born_again_networks_teach_their_successors(tmp_path: Path) -> None:
    first = fit(recipe(), tmp_path / "1", progress=False)
    again = recipe(task={"name": "distillation", "teacher": str(first.path)})
    second = fit(again, tmp_path / "2", progress=False)
    third = fit(again.with_(task={"name": "distillation", "teacher": str(second.path)}), tmp_path / "3", progress=False)
    assert third.metrics["accuracy"].value > 0.8
    assert [model["name"] for model in compared(third)["models"]] == ["this model", f"teacher ({second.path})"]


def test_unlabelled_rows_of_a_table_teach(tmp_path: Path) -> None:
    """Images whose label is blank stay in the training split with the target -1; see `ImageTable`."""
    from PIL import Image
    from sklearn.datasets import load_digits

    images, y = load_digits(return_X_y=True)
    lines = ["image,label"]
    for i in range(500):
        pixels = np.rint(images[i].reshape(8, 8) * 255 / 16).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{y[i]}")
    (tmp_path / "all.csv").write_text("\n".join(lines) + "\n")
    data = {"name": "image-table", "path": str(tmp_path / "all.csv"), "targets": ["label"], "target_kind": "category"}
    big = fit(recipe(data={**data, "batch_size": 32}), tmp_path / "big", progress=False)
    splits = Splits.load(big.path / "split.npz")
    blank = [int(row) for row in splits.train[::2]]
    (tmp_path / "few.csv").write_text("\n".join(
        line if i - 1 not in blank else f"{i - 1}.png," for i, line in enumerate(lines)) + "\n")  # fmt: skip
    few = {**data, "path": str(tmp_path / "few.csv"), "batch_size": 32}
    taught = recipe(data=few, task={"name": "distillation", "teacher": str(big.path), "temperature": 2.0})
    run = fit(taught, tmp_path / "small", splits=splits, progress=False)
    assert run.metrics["accuracy"].value > 0.6
    first = next(record for record in run.history if record["event"] == "epoch")
    assert {"train/soft", "train/hard"} <= set(first)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_fashion_mnist_with_1000_labels_gains_from_a_teacher(tmp_path: Path) -> None:
    """Same 1,000 rows, same network, same steps: only the teacher makes the difference."""
    base = (
        "{name: f, threads: 1, data: {name: fashion-mnist, batch_size: %d, split_seed: 0}, model: %s, "
        "task: {name: classification}, train: {epochs: %d, precision: fp32, optimizer: {name: adamw, lr: %s}}}"
    )
    big = "{name: mlp, hidden: [512, 256], dropout: 0.2}"
    teacher = fit(Recipe.parse(base % (256, big, 8, 0.002)), tmp_path / "teacher", progress=False)
    full = Splits.load(teacher.path / "split.npz")
    y = teacher.source().split("train").fetch(np.arange(len(full.train)))["y"].numpy()
    gains = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        chosen = np.concatenate([rng.permutation(np.flatnonzero(y == k))[:100] for k in range(10)])
        train = np.sort(full.train[chosen])
        splits = Splits(train, full.val, full.test, np.setdiff1d(full.train, train))
        alone = Recipe.parse(base % (50, "{name: mlp, hidden: [64]}", 100, 0.003), set=[f"seed={seed}"])
        taught = alone.with_(task={"name": "distillation", "teacher": str(teacher.path), "alpha": 0.9})
        runs = [
            fit(chosen, tmp_path / f"{seed}-{name}", splits=splits, progress=False)
            for name, chosen in (("alone", alone), ("taught", taught))
        ]
        gains.append(runs[1].metrics["accuracy"].value - runs[0].metrics["accuracy"].value)
    assert min(gains) > 0 and np.mean(gains) >= 0.02


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bagging", "distillation"])
def test_two_processes_train_what_one_trains(kind: str, teacher: Run, tmp_path: Path) -> None:
    """Also where a member drew none of a process's rows, and where a batch is ragged."""
    task = {"name": "ensemble", "members": 3, "bagging": True} if kind == "bagging" else {
        "name": "distillation", "teacher": str(teacher.path), "features": 0.1}  # fmt: skip
    # few steps: the last bit of a sum grows tenfold in a hundred of them
    train = {"epochs": 1, "max_steps": 60, "precision": "fp32", "optimizer": {"name": "sgd", "lr": 0.05}}
    chosen = recipe(model={"name": "mlp", "hidden": [16]}, task=task, train=train)
    chosen.with_(data={"name": "digits", "batch_size": 4}).save(tmp_path / "r.yaml")
    runs = []
    for processes in (1, 2):
        out = tmp_path / str(processes)
        launcher = ["torch.distributed.run", "--nproc-per-node", "2", "-m"] if processes == 2 else []
        words = ["lamplighter", "train", str(tmp_path / "r.yaml"), "--out", str(out), "-q"]
        subprocess.run([sys.executable, "-m", *launcher, *words], check=True, capture_output=True, timeout=200)
        runs.append(Run(out))
    one, two = (run.task("last").state_dict() for run in runs)
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-5)
    assert runs[0].metrics["loss"].value == pytest.approx(runs[1].metrics["loss"].value, rel=1e-4)
