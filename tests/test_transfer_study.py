"""Transfer measured: the proof on mirrored, noisy digits, and the study around it."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest

import lamplighter as lamp
from lamplighter.__main__ import main as run_command
from lamplighter.core import registry
from lamplighter.core.errors import InterruptedRunError, LamplighterError, RunError
from lamplighter.core.recipe import Recipe
from lamplighter.core.registry import FromData
from lamplighter.data.sources._images import GrayArrays
from lamplighter.data.splits import Splits, stratified
from lamplighter.run import Run
from lamplighter.train.trainer import Trainer
from lamplighter.transfer_study import study

LABELS = [str(digit) for digit in range(10)]


def _digits(half: int) -> tuple[np.ndarray, np.ndarray]:
    """Every second of scikit-learn's digits: ink from 0 to 16, and labels."""
    from sklearn.datasets import load_digits

    ink, labels = load_digits(return_X_y=True)
    return ink[half::2].reshape(-1, 8, 8), labels[half::2].astype(np.int64)


def _pixels(ink: np.ndarray) -> np.ndarray:
    return np.rint(ink.clip(0, 16) * 255 / 16).astype(np.uint8)


class PlainHalf(GrayArrays):
    """One half of the digits.

    Args:
        seed: of the split.
        splits: given ones.
    """

    def __init__(self, seed: Annotated[int, FromData] = 0, splits: Annotated[Any, FromData] = None) -> None:
        ink, y = _digits(0)
        super().__init__(_pixels(ink), y, LABELS, splits or stratified(y, (0.8, 0.1, 0.1), seed))


class MirroredHalf(GrayArrays):
    """The other half, seen in a mirror, with noise, and few of each class to learn from.

    Args:
        shots: training rows of each class.
        seed: of noise and split.
        splits: given ones.
    """

    def __init__(
        self, shots: int = 2, seed: Annotated[int, FromData] = 0, splits: Annotated[Any, FromData] = None
    ) -> None:
        ink, y = _digits(1)
        rng = np.random.default_rng(seed)
        noisy = ink[:, :, ::-1] + rng.normal(0, 4, ink.shape)
        order = rng.permutation(len(y))
        train = np.concatenate([order[y[order] == digit][:shots] for digit in range(10)])
        rest = np.setdiff1d(order, train)
        super().__init__(_pixels(noisy), y, LABELS, splits or Splits(train, rest[:-100], rest[-100:]))


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_USER", {kind: dict(known) for kind, known in registry._USER.items()})
    registry.register("source", "plain-half")(PlainHalf)
    registry.register("source", "mirrored-half")(MirroredHalf)
    yield


PLAIN = """
name: plain
threads: 1
device: cpu
data: {name: plain-half, batch_size: 32}
model: {name: cnn, width: 16}
task: {name: classification}
train: {epochs: 10, precision: fp32, channels_last: false, validate_every: 5, optimizer: {name: adamw, lr: 0.005}}
"""

MIRRORED = """
name: mirrored
threads: 1
device: cpu
data: {name: mirrored-half, batch_size: 20}
model: {name: cnn, width: 16}
task: {name: classification}
train: {epochs: 60, precision: fp32, channels_last: false, validate_every: 60, optimizer: {name: adamw, lr: 0.01}}
"""


def command(*words: str) -> int:
    with pytest.raises(SystemExit) as stop:
        run_command(list(words))
    return int(stop.value.code or 0)


def mirrored(weights: Path, *overrides: str) -> Recipe:
    return Recipe.parse(MIRRORED, set=[f"transfer.weights={weights}", *overrides])


@pytest.mark.slow
def test_with_two_shots_a_class_transferred_features_beat_training_from_scratch(sources: None, tmp_path: Path) -> None:
    """Pretrained on plain digits, two mirrored and noisy ones of each class to learn from, four seeds."""
    lamp.fit(Recipe.parse(PLAIN), out=tmp_path / "plain", progress=False)
    gain = study(mirrored(tmp_path / "plain"), tmp_path / "study", progress=False)
    scratch, fine, stem, two, head = gain.arms
    print("\n" + "\n".join("  ".join(row) for row in gain.rows()) + "\n" + gain.verdict())
    assert [arm.name for arm in gain.arms] == [
        "from scratch",
        "fine-tuning",
        "frozen up to stem",
        "frozen up to stages.0",
        "head only",
    ]
    assert 0.40 < scratch.mean < 0.55
    assert fine.mean > scratch.mean + 0.03
    assert head.mean > scratch.mean + 0.02
    assert stem.mean > scratch.mean + 0.04
    assert two.mean > scratch.mean + 0.08 and min(gain.gains(two)) > 0
    assert gain.interval(two)[0] > 0


@pytest.fixture
def weights(sources: None, tmp_path: Path) -> Path:
    lamp.fit(Recipe.parse(PLAIN, set=["train.epochs=2", "model.width=4"]), out=tmp_path / "plain", progress=False)
    return tmp_path / "plain"


QUICK = ("train.epochs=2", "train.validate_every=1", "model.width=4")


def test_a_study_trains_each_arm_with_each_seed_and_opens_no_test_split(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[tuple[int, Any]] = []
    events: set[str] = set()
    fit = lamp.fit

    def spy(recipe: Recipe, *args: Any, **options: Any) -> Run:
        trained.append((recipe.seed, recipe.transfer.freeze_up_to if recipe.transfer else None))
        run = fit(recipe, *args, **options)
        events.update(record["event"] for record in run.history)
        return run

    monkeypatch.setattr("lamplighter.transfer_study.fit", spy)
    gain = study(mirrored(weights, *QUICK), tmp_path / "study", seeds=(3, 5), progress=False)
    assert trained == [(seed, frozen) for seed in (3, 5) for frozen in (None, 0, 1, 2, 3)]
    assert "epoch" in events and "test_opened" not in events
    assert [arm.frozen for arm in gain.arms] == [None, 0, 1, 2, 3]
    assert [arm.parameters for arm in gain.arms][:2] == [4630, 4630] and gain.arms[-1].parameters == 16 * 10 + 10
    assert {path.name for path in (tmp_path / "study").iterdir()} == {"study.json", "study.svg"}
    written = json.loads((tmp_path / "study" / "study.json").read_text())
    assert written["result"] == gain.to_dict()
    trained.clear()
    again = study(mirrored(weights, *QUICK), tmp_path / "study", seeds=(3, 5), freeze=("stem", "head"), progress=False)
    assert trained == [] and [arm.name for arm in again.arms] == ["from scratch", "frozen up to stem", "head only"]
    assert again.arms[-1].values == gain.arms[-1].values


def test_an_interrupted_study_goes_on_and_another_recipe_is_refused(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, out = mirrored(weights, *QUICK), tmp_path / "study"
    whole = study(recipe, tmp_path / "whole", seeds=(0,), freeze=(0, 1), progress=False)
    steps, step = 0, Trainer._step

    def stopped(self: Trainer, batches: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == 4:
            signal.raise_signal(signal.SIGTERM)
        step(self, batches)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", stopped)
        with pytest.raises(InterruptedRunError, match="the same command goes on"):
            study(recipe, out, seeds=(0,), freeze=(0, 1), progress=False)
    assert json.loads((out / "study.json").read_text())["scores"].keys() == {"scratch"}
    assert {path.name for path in out.iterdir()} == {"study.json"}
    assert study(recipe, out, seeds=(0,), freeze=(0, 1), progress=False).to_dict() == whole.to_dict()
    with pytest.raises(RunError, match="another recipe or other weights"):
        study(mirrored(weights, *QUICK, "train.optimizer.lr=0.5"), out, seeds=(0,), progress=False)
    (out / "study.json").write_text("{")
    with pytest.raises(RunError, match="damaged"):
        study(recipe, out, seeds=(0,), progress=False)


def test_what_it_cannot_study_is_told(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="transfer section"):
        study(Recipe.parse(MIRRORED), tmp_path / "study")
    with pytest.raises(LamplighterError, match=r"3 stages\.1"):
        study(mirrored(weights, *QUICK), tmp_path / "study", freeze=(9,))


def test_the_command_prints_the_table(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "recipe.yaml").write_text(MIRRORED)
    words = ["transfer", str(tmp_path / "recipe.yaml"), "--weights", str(weights), "--seeds", "2", "--freeze", "0,head"]
    words += ["--out", str(tmp_path / "study"), *(word for key in QUICK for word in ("--set", key)), "--quiet"]
    assert command(*words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines[:3]] == ["from scratch", "fine-tuning", "head only"]
    assert "over 2 seeds" in lines[3] and lines[4].endswith("study.svg")
    assert command(*words, "--json") == 0
    assert json.loads(capsys.readouterr().out)["metric"] == "accuracy"
    assert command(*words, "--freeze", "0,,1") == 2
    assert "--freeze 0,,1: numbers or names" in capsys.readouterr().err
