"""`fit` and `Run`: one recipe from data to report, interrupted in every way, with one's own components."""

from __future__ import annotations

import inspect
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lamplighter as lamp
from lamplighter.core import registry
from lamplighter.core.errors import (
    DataError,
    InterruptedRunError,
    LamplighterError,
    RunError,
    TrainingError,
)
from lamplighter.core.recipe import Recipe
from lamplighter.core.registry import FromData
from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.data.preprocessing.pipeline import Pipeline
from lamplighter.data.rows import TensorRows
from lamplighter.data.source import Batch
from lamplighter.data.splits import Splits
from lamplighter.run import Run, build_source, build_task, fit
from lamplighter.tasks.base import Loss, Task
from lamplighter.tasks.classification import Classification

DIGITS = """
name: digits
threads: 1
data: {name: digits, batch_size: 64}
model: {name: mlp, hidden: [32]}
task: {name: classification}
train: {epochs: 2, precision: fp32, optimizer: {name: adamw, lr: 0.01}}
"""

EVERYTHING = """
name: everything
seed: 3
threads: 1
data: {name: digits, batch_size: 32}
augment: [{name: random-shift, pixels: 1}]
model: {name: cnn, width: 4, stages: 1, dropout: 0.2}
task: {name: classification, label_smoothing: 0.1}
train:
  epochs: 8
  precision: bf16
  accumulate: 2
  optimizer: {name: sgd, lr: 0.05}
  callbacks: [{name: early-stopping, patience: 5}]
"""


def digits(**changes: Any) -> Recipe:
    return Recipe.parse(DIGITS, set=[f"{key}={value}" for key, value in changes.items()])


def diary(folder: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without what depends on the clock."""
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in r.items() if key not in ("seconds", "time", "ms")} for r in records]


def weights(folder: Path, which: str = "last") -> bytes:
    return (folder / "checkpoints" / which / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run on digits; tests only read it."""
    return fit(digits(), tmp_path_factory.mktemp("finished") / "run", progress=False)


def test_a_run_has_everything(finished: Run) -> None:
    names = {entry.name for entry in finished.path.iterdir()}
    assert {"recipe.yaml", "metrics.jsonl", "checkpoints", "report.html", "scores.json", "split.npz"} <= names
    assert [r["event"] for r in finished.history] == ["epoch", "epoch", "test_opened", "finished"]
    assert finished.history[0].keys() >= {"epoch", "step", "seconds", "train/loss", "val/loss", "val/accuracy", "lr"}
    assert finished.metrics["accuracy"].value > 0.85
    assert finished.metrics["accuracy"].n == len(finished.source().splits.test)
    assert finished.metrics["accuracy"].low < finished.metrics["accuracy"].value
    assert (finished.path / "report.html").read_text().lstrip().lower().startswith("<!doctype html")


def test_the_resolved_recipe_leaves_nothing_open(finished: Run) -> None:
    resolved = Recipe.load(finished.path / "recipe.yaml")
    assert (resolved.device, resolved.threads) == (resolved.device.replace("auto", ""), 1)
    assert resolved.train.precision == "fp32"
    assert resolved.train.channels_last is False
    assert resolved.train.monitor is not None and resolved.train.monitor.metric == "accuracy"


def test_two_runs_of_one_resolved_recipe_are_equal(finished: Run, tmp_path: Path) -> None:
    torch.manual_seed(123)
    again = fit(finished.path / "recipe.yaml", tmp_path / "again", progress=False)
    assert diary(again.path) == diary(finished.path)
    for which in ("best", "last"):
        assert weights(again.path, which) == weights(finished.path, which)
    assert (again.path / "scores.json").read_bytes() == (finished.path / "scores.json").read_bytes()


def test_another_seed_gives_other_weights_and_splits(finished: Run, tmp_path: Path) -> None:
    other = fit(digits(seed=1), tmp_path / "other", progress=False)
    assert weights(other.path) != weights(finished.path)
    assert other.source().splits != finished.source().splits


def test_auto_is_measured_once_and_written_down(tmp_path: Path) -> None:
    run = fit(
        digits(**{"train.precision": "auto", "train.epochs": 1, "threads": "auto"}), tmp_path / "a", progress=False
    )
    (event,) = [record for record in run.history if record["event"] == "precision"]
    assert set(event["ms"]) == {"fp32", "fp32 channels_last", "bf16 channels_last"}
    assert all(milliseconds > 0 for milliseconds in event["ms"].values())
    assert run.recipe.train.precision == event["chosen"].split()[0]
    assert isinstance(run.recipe.threads, int)
    again = fit(run.path / "recipe.yaml", tmp_path / "b", progress=False)
    assert [record["event"] for record in again.history] == ["epoch", "test_opened", "finished"]
    assert weights(again.path) == weights(run.path)


def test_the_best_weights_are_the_ones_judged(finished: Run) -> None:
    task = finished.task()
    saved = {name: tensor.clone() for name, tensor in task.state_dict().items()}
    best = max((r for r in finished.history if r["event"] == "epoch"), key=lambda r: r["val/accuracy"])
    assert finished.history[-1]["best_epoch"] == best["epoch"]
    val = finished.evaluate("val")
    assert val["accuracy"].value == best["val/accuracy"]
    assert val["accuracy"].n == len(finished.source().splits.val)
    assert all(torch.equal(tensor, saved[name]) for name, tensor in finished.task().state_dict().items())


def test_scores_are_those_of_calibrated_answers(finished: Run) -> None:
    assert finished.temperature != 1.0
    plain = finished.history[finished.history[-1]["best_epoch"] - 1]["val/loss"]
    assert finished.evaluate("val")["loss"].value < plain


def test_calibration_can_be_switched_off(tmp_path: Path) -> None:
    run = fit(digits(**{"bundle.calibrate": "false", "train.epochs": 1}), tmp_path / "run", progress=False)
    assert run.temperature == 1.0
    assert run.evaluate("val")["loss"].value == pytest.approx(run.history[0]["val/loss"], rel=1e-6)


def test_looking_at_the_test_split_again_is_logged(tmp_path: Path) -> None:
    run = fit(digits(**{"train.epochs": 1}), tmp_path / "run", progress=False)
    assert sum(record["event"] == "test_opened" for record in run.history) == 1
    with pytest.raises(RunError, match="the test split was opened before"):
        run.evaluate("test")
    assert sum(record["event"] == "test_opened" for record in run.history) == 1
    scores = run.evaluate("test", again=True)
    assert scores == run.metrics
    assert sum(record["event"] == "test_opened" for record in run.history) == 2
    assert run.history[-1]["n"] == scores["accuracy"].n


def test_the_default_directory_is_the_next_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in ("1", "2"):
        assert fit(digits(**{"train.epochs": 1}), progress=False).path == Path("runs/digits") / number


def test_the_threads_of_the_process_are_given_back(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    fit(digits(threads=2, **{"train.epochs": 1}), tmp_path / "run", progress=False)
    assert torch.get_num_threads() == before


def test_global_random_generators_are_given_back(tmp_path: Path) -> None:
    torch.manual_seed(7)
    random.seed(7)
    expected = torch.rand(()).item(), random.random()
    torch.manual_seed(7)
    random.seed(7)
    fit(digits(**{"train.epochs": 1}), tmp_path / "run", progress=False)
    assert (torch.rand(()).item(), random.random()) == expected


def test_export_gives_a_bundle_that_answers_like_the_run(finished: Run) -> None:
    bundle = finished.export(version="7")
    assert bundle.path == finished.path / "bundle"
    assert bundle.manifest.version == "7"
    assert bundle.manifest.metrics["accuracy"] == finished.metrics["accuracy"]
    assert bundle.manifest.output.temperature == finished.temperature
    test = finished.source().splits.test
    answers = bundle.predict(finished.source().raw("test", np.arange(len(test))))
    y = finished.source().split("test").fetch(np.arange(len(test)))["y"].tolist()
    right = sum(answer["label"] == str(label) for answer, label in zip(answers, y))
    assert right / len(test) == pytest.approx(finished.metrics["accuracy"].value)


def test_the_built_in_digits_recipe_reads_97_percent(tmp_path: Path) -> None:
    run = fit("digits", tmp_path / "run", progress=False)
    assert run.metrics["accuracy"].value >= 0.97


def test_the_built_in_fashion_recipe_describes_the_network_it_says() -> None:
    recipe = Recipe.load("fashion-mnist")
    model = registry.build("model", recipe.model.name, recipe.model.params, {"in_channels": 1, "num_classes": 10})
    assert sum(parameter.numel() for parameter in model.parameters()) == 278_890
    assert recipe.train.optimizer.params["nesterov"] is True


# Directories.


def test_an_existing_run_is_refused_resumed_or_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe, out = digits(**{"train.epochs": 1}), tmp_path / "run"
    first = fit(recipe, out, progress=False)
    before = diary(out)
    with pytest.raises(RunError, match="--resume to go on, --force to start over"):
        fit(recipe, out, progress=False)
    assert fit(recipe, out, resume=True).path == first.path
    assert "this run is finished" in capsys.readouterr().err
    assert diary(out) == before
    with pytest.raises(RunError, match=r"train\.epochs: 5, the run has 1"):
        fit(digits(**{"train.epochs": 5}), out, resume=True, progress=False)
    replaced = fit(digits(**{"train.epochs": 2}), out, force=True, progress=False)
    assert len(replaced.history) == 4


def test_a_run_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run directory"):
        Run(tmp_path)


def test_an_unfinished_run_has_no_scores(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(TrainingError):
        fit(digits(**{"train.optimizer.lr": "1e30"}), out, progress=False)
    for use in (lambda: Run(out).metrics, Run(out).export):
        with pytest.raises(RunError, match="training has not finished"):
            use()
    with pytest.raises(RunError, match="no checkpoint yet"):
        Run(out).task()


def test_resume_before_the_first_checkpoint_starts_over(finished: Run, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(TrainingError, match="epoch 1"):
        fit(digits(**{"train.optimizer.lr": "1e30"}), out, progress=False)
    with pytest.raises(TrainingError, match="epoch 1"):
        fit(digits(**{"train.optimizer.lr": "1e30"}), out, resume=True, progress=False)
    assert not (out / "checkpoints").exists()


# Interruptions: whatever happens, the run ends as if nothing had.


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EVERYTHING without an interruption."""
    return fit(Recipe.parse(EVERYTHING), tmp_path_factory.mktemp("whole") / "run", progress=False).path


def start(tmp_path: Path) -> tuple[subprocess.Popen[str], Path]:
    """Train EVERYTHING in another process; return when its second epoch is done."""
    (tmp_path / "recipe.yaml").write_text(EVERYTHING)
    code = (
        "import sys, lamplighter as lamp\n"
        "try: lamp.fit('recipe.yaml', 'run', progress=False)\n"
        "except lamp.LamplighterError as error: print(error); sys.exit(error.exit_code)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    log = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and process.poll() is None:
        if log.exists() and log.read_bytes().count(b"\n") >= 2:
            break
        time.sleep(0.002)
    time.sleep(random.uniform(0, 0.15))
    return process, tmp_path / "run"


@pytest.mark.parametrize("signum", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_writes_a_checkpoint_and_the_run_goes_on_bit_for_bit(
    signum: signal.Signals, whole: Path, tmp_path: Path
) -> None:
    process, out = start(tmp_path)
    process.send_signal(signum)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signum, "too fast: the training ended before the signal"
    assert "the checkpoint is written; go on with: lamp train run/recipe.yaml --out run --resume" in said
    assert len(said.splitlines()) == 1
    run = fit(out / "recipe.yaml", out, resume=True, progress=False)
    assert_equal(run.path, whole)


def test_a_kill_leaves_a_run_that_goes_on_bit_for_bit(whole: Path, tmp_path: Path) -> None:
    process, out = start(tmp_path)
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, "too fast: the training ended before the kill"
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"event": "ep')
    run = fit(out / "recipe.yaml", out, resume=True, progress=False)
    assert_equal(run.path, whole)


def assert_equal(one: Path, other: Path) -> None:
    assert diary(one) == diary(other)
    for which in ("best", "last"):
        assert weights(one, which) == weights(other, which)
    assert (one / "scores.json").read_bytes() == (other / "scores.json").read_bytes()
    leftovers = [entry.name for entry in (one / "checkpoints").iterdir() if entry.name.startswith(".")]
    assert leftovers == []


def test_killed_between_training_and_report(tmp_path: Path, finished: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from lamplighter.evaluate import report

    def die(*args: Any, **keywords: Any) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(report, "write_report", die)
        with pytest.raises(KeyboardInterrupt):
            fit(digits(), out, progress=False)
    run = fit(digits(), out, resume=True, progress=False)
    assert (out / "report.html").is_file()
    assert run.metrics == finished.metrics
    opened = [record for record in run.history if record["event"] == "test_opened"]
    assert len(opened) == 2, "both looks at the test split are on record"


def test_fit_works_outside_the_main_thread(tmp_path: Path) -> None:
    found: list[Run] = []
    recipe = digits(**{"train.epochs": 1})
    thread = threading.Thread(target=lambda: found.append(fit(recipe, tmp_path / "run", progress=False)))
    thread.start()
    thread.join()
    assert found[0].finished


def test_an_interruption_in_process(tmp_path: Path) -> None:
    recipe = digits(**{"train.epochs": 500})
    timer = threading.Timer(1.0, signal.pthread_kill, [threading.main_thread().ident, signal.SIGINT])
    timer.start()
    with pytest.raises(InterruptedRunError, match="go on with: lamp train") as caught:
        fit(recipe, tmp_path / "run", progress=False)
    assert caught.value.exit_code == 130


# One's own components.


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A registry of one's own for the length of a test."""
    monkeypatch.setattr(registry, "_USER", {})
    yield


class Points:
    """Points in the plane; one class, or two numbers, to predict.

    Args:
        kind: of the target.
        rows: how many.
        seed: of the points.
        splits: to use again.
    """

    def __init__(
        self,
        kind: str = "category",
        rows: int = 200,
        seed: Annotated[int, FromData] = 0,
        splits: Annotated[Splits | None, FromData] = None,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.x = torch.randn(rows, 2, generator=generator)
        if kind == "category":
            y, targets = (self.x[:, 0] > 0).long(), (Column(name="side", kind="category", categories=("l", "r")),)
        else:
            y = torch.stack([500 + 50 * self.x[:, 0], 0.1 * self.x.sum(1)], 1)
            y[::7, 1] = np.nan
            targets = (Column(name="big", kind="numeric"), Column(name="small", kind="numeric"))
        self.y = y
        self.splits = splits or _shuffled(rows, seed)
        self.preprocessing = Pipeline([])
        self.signature = Signature(
            inputs=(Column(name="x", kind="array", shape=(2,)),),
            tensors=(TensorSpec(name="x", dtype="float32", shape=(2,)),),
            targets=targets,
        )

    def split(self, name: str) -> TensorRows:
        return TensorRows({"x": self.x, "y": self.y}, self.splits[name])

    def raw(self, name: str, indices: np.ndarray) -> list[Any]:
        return [{"x": row.tolist()} for row in self.x[self.splits[name][indices]]]

    def resolved(self) -> dict[str, Any]:
        return {}


def _shuffled(rows: int, seed: int) -> Splits:
    order = np.random.default_rng(seed).permutation(rows)
    return Splits(order[: rows * 6 // 10], order[rows * 6 // 10 : rows * 8 // 10], order[rows * 8 // 10 :])


class Probe(nn.Module):
    """Notes the call stack above its forward pass; has no forward_features.

    Args:
        num_classes: filled in.
    """

    stacks: list[list[inspect.FrameInfo]] = []

    def __init__(self, num_classes: Annotated[int, FromData]) -> None:
        super().__init__()
        self.layer = nn.Linear(2, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.stacks.append(inspect.stack())
        result: Tensor = self.layer(x)
        return result


class HalfLoss(Classification):
    """Classification with half the loss.

    Args:
        model: filled in.
        signature: filled in.
    """

    def __init__(self, model: Annotated[nn.Module, FromData], signature: Annotated[Signature, FromData]) -> None:
        super().__init__(model, signature)

    def step(self, batch: Batch) -> Iterator[Loss]:
        for loss in super().step(batch):
            loss.value = loss.value / 2
            yield loss


def own_recipe(**changes: Any) -> Recipe:
    registry.register("source", "points")(Points)
    registry.register("model", "probe")(Probe)
    registry.register("task", "half-loss")(HalfLoss)
    text = """
name: own
threads: 1
data: {name: points, batch_size: 16}
model: {name: probe}
task: {name: classification}
train: {epochs: 3, precision: fp32, optimizer: {name: adamw, lr: 0.1}}
"""
    return Recipe.parse(text, set=[f"{key}={value}" for key, value in changes.items()])


def test_from_fit_to_forward_at_most_8_frames_in_4_files(own: None, tmp_path: Path) -> None:
    Probe.stacks = []
    lamp.fit(own_recipe(), tmp_path / "run", progress=False)
    assert len(Probe.stacks) == 3 * 8
    for stack in Probe.stacks:
        names = [frame.function for frame in stack]
        path = stack[: names.index("fit", names.index("fit") + 1) + 1]  # Trainer.fit, then lamp.fit
        assert path[-1].filename.endswith("run/fitting.py")
        assert len(path) <= 8, [f"{frame.filename}:{frame.function}" for frame in path]
        ours = {frame.filename for frame in path if "torch" not in Path(frame.filename).parts}
        assert len(ours) <= 4, ours


def test_own_source_model_and_task_train_and_are_judged(own: None, tmp_path: Path) -> None:
    run = fit(own_recipe(**{"task.name": "half-loss"}), tmp_path / "run", progress=False)
    assert run.metrics["accuracy"].value > 0.85
    assert run.task().export().outputs == ("logits",)


def test_regression_with_blanks_through_a_whole_run(own: None, tmp_path: Path) -> None:
    recipe = own_recipe(
        **{
            "data.kind": "numeric",
            "task.name": "regression",
            "model.name": "mlp",
            "train.epochs": 30,
            "train.optimizer.lr": 0.02,
        }
    )
    run = fit(recipe, tmp_path / "run", progress=False)
    assert run.metrics["r2"].value > 0.9, "targets of different units weigh alike"
    assert run.recipe.train.monitor is not None and run.recipe.train.monitor.metric == "loss"
    assert run.temperature == 1.0


def test_the_wrong_task_for_the_data_is_named_before_training(own: None, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"use task: \{name: classification\}"):
        fit(own_recipe(**{"task.name": "regression"}), tmp_path / "a", progress=False)
    with pytest.raises(DataError, match="takes one target, this data has 'big'"):
        fit(own_recipe(**{"data.kind": "numeric"}), tmp_path / "b", progress=False)


def test_a_label_out_of_range_is_named_before_training(own: None, tmp_path: Path) -> None:
    class Broken(Points):
        """Points with a third class nobody knows.

        Args:
            seed: filled in.
            splits: filled in.
        """

        def __init__(
            self, seed: Annotated[int, FromData] = 0, splits: Annotated[Splits | None, FromData] = None
        ) -> None:
            super().__init__("category", 200, seed, splits)
            self.y[int(self.splits.train[5])] = 2

    registry.register("source", "broken")(Broken)
    with pytest.raises(DataError, match="training row 5: class index 2 does not fit 2 labels"):
        fit(own_recipe(**{"data.name": "broken"}), tmp_path / "run", progress=False)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_model_that_does_not_fit_the_data_is_named(own: None, tmp_path: Path) -> None:
    with pytest.raises(LamplighterError, match="model 'cnn' needs 'in_channels'"):
        fit(own_recipe(**{"model.name": "cnn"}), tmp_path / "run", progress=False)


def test_the_same_seed_builds_the_same_weights_whatever_was_drawn_before() -> None:
    source = build_source(digits())
    torch.manual_seed(1)
    one = build_task(digits(), source)
    torch.manual_seed(2)
    two = build_task(digits(), source)
    other = build_task(digits(seed=1), source)
    for (name, a), b, c in zip(one.named_parameters(), two.parameters(), other.parameters()):
        assert torch.equal(a, b)
        assert (name.endswith("bias") and "head" not in name) or not torch.equal(a, c)


def test_a_task_must_be_a_task(own: None, tmp_path: Path) -> None:
    class NoTask:
        """Not a task."""

    registry.register("task", "no-task")(NoTask)
    with pytest.raises(DataError, match="task 'no-task' a Task"):
        fit(own_recipe(**{"task.name": "no-task"}), tmp_path / "run", progress=False)
    assert issubclass(HalfLoss, Task)
