"""kill -9 at random moments: the resumed run ends with the weights of the one that was never touched, bit for bit.

Everything that has a state takes part: images decoded ahead by a thread, augmentation, mixup, accumulation, batch norm,
dropout, bf16 in channels_last, a fused optimizer, clipping, a schedule, EMA, the best checkpoints, validations and
checkpoints in the middle of an epoch.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from lamplighter.core.recipe import Recipe
from lamplighter.run import fit

RECIPE = """
name: chaos
device: cpu
threads: 1
data: {{name: image-folder, path: {path}, batch_size: 8}}
augment: [{{name: random-shift, pixels: 1}}]
model: {{name: cnn, width: 4, dropout: 0.2}}
task: {{name: classification, label_smoothing: 0.1}}
train:
  epochs: 6
  precision: bf16
  channels_last: true
  accumulate: 2
  optimizer: {{name: adamw, lr: 0.01}}
  clip: {{name: norm}}
  validate_steps: 4
  checkpoint_steps: 3
  callbacks: [{{name: mixup}}, {{name: ema, decay: 0.9}}, {{name: top-k, k: 2}}, {{name: early-stopping, patience: 50}}]
"""
MASKED = """
name: masked
device: cpu
threads: 1
data: {{name: text-files, path: {path}, tokenizer: words, vocab_size: 60, length: 16, around: both, batch_size: 16}}
model: {{name: bert, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 32,
  max_position_embeddings: 16}}
task: {{name: masked-lm, whole_words: true}}
train:
  epochs: 5
  precision: fp32
  accumulate: 2
  optimizer: {{name: adamw, lr: 0.01}}
  checkpoint_steps: 3
"""
KILLS = [pytest.param(seed, marks=() if seed < 2 else pytest.mark.slow) for seed in range(10)]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    for index in range(150):
        label = "oak" if index % 2 else "yew"
        (folder / label).mkdir(exist_ok=True)
        pixels = generator.integers(0, 160, (10, 10, 3), dtype=np.uint8) + np.uint8(60 * (index % 2))
        Image.fromarray(pixels).save(folder / label / f"{index:03}.png")
    path = folder / "chaos.yaml"
    path.write_text(RECIPE.format(path=folder))
    return path


@pytest.fixture(scope="module")
def whole(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The run that nobody touches, and the seconds it trained."""
    run = fit(Recipe.load(recipe), tmp_path_factory.mktemp("whole") / "run", progress=False)
    return run.path, sum(record["seconds"] for record in run.history if record["event"] == "epoch")


@pytest.mark.parametrize("seed", KILLS)
def test_killed_at_a_random_moment(seed: int, recipe: Path, whole: tuple[Path, float], tmp_path: Path) -> None:
    out, moment = tmp_path / "run", random.Random(seed)
    for _ in range(2):
        resume = "True" if (out / "recipe.yaml").exists() else "False"
        code = f"import lamplighter as lamp; lamp.fit({str(recipe)!r}, {str(out)!r}, resume={resume}, progress=False)"
        process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 120
        before = _lines(out)
        while not (out / "recipe.yaml").exists() or (resume == "True" and _lines(out) <= before):
            assert time.monotonic() < deadline and process.poll() in (None, 0), process.communicate()
            if process.poll() == 0:
                break
            time.sleep(0.005)
        time.sleep(moment.uniform(0, whole[1]))
        process.kill()
        process.communicate()
        if process.returncode == 0:  # it was faster
            break
        assert process.returncode == -signal.SIGKILL
    fit(Recipe.load(recipe), out, resume=True, progress=False)
    for name in ("best", "last"):
        ours, theirs = (load_file(path / "checkpoints" / name / "model.safetensors") for path in (out, whole[0]))
        assert ours.keys() == theirs.keys()
        assert all(np.array_equal(ours[key], theirs[key], equal_nan=True) for key in ours), name
    assert _diary(out) == _diary(whole[0])
    assert _scores(out) == _scores(whole[0])


def test_a_masked_language_model_hides_the_same_tokens_again(tmp_path: Path) -> None:
    """Killed after a checkpoint in the middle of an epoch: which tokens are hidden is drawn on from there."""
    words = np.random.default_rng(0).choice([f"word{number}" for number in range(40)], 6000)
    (tmp_path / "text.txt").write_text(" ".join(words))
    recipe = tmp_path / "masked.yaml"
    recipe.write_text(MASKED.format(path=tmp_path / "text.txt"))
    untouched = fit(Recipe.load(recipe), tmp_path / "whole", progress=False).path
    out = tmp_path / "run"
    code = f"import lamplighter as lamp; lamp.fit({str(recipe)!r}, {str(out)!r}, progress=False)"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (out / "checkpoints" / "last" / "model.safetensors").exists():
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.002)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    fit(Recipe.load(recipe), out, resume=True, progress=False)
    for name in ("best", "last"):
        ours, theirs = (load_file(path / "checkpoints" / name / "model.safetensors") for path in (out, untouched))
        assert ours.keys() == theirs.keys() and all(np.array_equal(ours[key], theirs[key]) for key in ours), name
    assert _diary(out) == _diary(untouched)
    assert _scores(out) == _scores(untouched)


def _lines(out: Path) -> int:
    path = out / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _diary(out: Path) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    kept = [record for record in records if record["event"] in ("epoch", "validation", "stop")]
    return [{key: value for key, value in record.items() if key != "seconds"} for record in kept]


def _scores(out: Path) -> Any:
    return json.loads((out / "scores.json").read_text())["test"]
