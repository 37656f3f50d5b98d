"""A user's own components, one of each kind that training uses, by --import; the bundle serves without them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

MODULE = '''
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from lamplighter.core.registry import FromData, register
from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.data.preprocessing.pipeline import Pipeline
from lamplighter.data.rows import TensorRows
from lamplighter.data.splits import Splits, stratified
from lamplighter.tasks.classification import Classification
from lamplighter.train.callbacks.base import Callback


@register("source", "two-squares")
class TwoSquares:
    """Bright left half or bright right half.

    Args:
        rows: how many.
        seed: filled in.
        splits: filled in.
    """

    def __init__(
        self,
        rows: Annotated[int, Field(ge=60)] = 240,
        seed: Annotated[int, FromData] = 0,
        splits: Annotated[Splits | None, FromData] = None,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.y = rng.integers(0, 2, rows)
        self.images = rng.integers(0, 120, (rows, 8, 8)).astype(np.uint8)
        for image, label in zip(self.images, self.y):
            image[:, 4 * label : 4 * label + 4] += 100
        self.splits = splits or stratified(self.y, (0.6, 0.2, 0.2), seed)
        self.signature = Signature(
            inputs=(Column(name="image", kind="image", shape=(8, 8, 1)),),
            tensors=(TensorSpec(name="x", dtype="uint8", shape=(1, 8, 8)),),
            targets=(Column(name="side", kind="category", categories=("left", "right")),),
        )
        self.preprocessing = Pipeline(
            [
                {"name": "decode-image", "channels": 1},
                {"name": "resize", "height": 8, "width": 8},
                {"name": "stack-images"},
            ]
        )

    def _indices(self, name: str) -> np.ndarray:
        return getattr(self.splits, name)

    def split(self, name: str) -> TensorRows:
        rows = self._indices(name)
        x = self.preprocessing(self.raw(name, np.arange(len(rows))))["x"]
        return TensorRows({"x": torch.from_numpy(x), "y": torch.from_numpy(self.y[rows]).long()})

    def raw(self, name: str, indices: np.ndarray) -> list[Any]:
        return list(self.images[self._indices(name)[indices]])

    def resolved(self) -> dict[str, Any]:
        return {"rows": len(self.y)}


@register("model", "one-layer")
class OneLayer(nn.Module):
    """A matrix.

    Args:
        in_features: filled in.
        num_classes: filled in.
    """

    def __init__(self, in_features: Annotated[int, FromData], num_classes: Annotated[int, FromData]) -> None:
        super().__init__()
        self.layer = nn.Linear(in_features, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.float().flatten(1) / 255)


@register("task", "half-loss")
class HalfLoss(Classification):
    """Classification with half the loss."""

    def step(self, batch):
        for loss in super().step(batch):
            loss.value = loss.value / 2
            yield loss


@register("augment", "brighter")
class Brighter:
    """Adds a random brightness.

    Args:
        most: at most.
    """

    def __init__(self, most: Annotated[int, Field(gt=0)] = 20) -> None:
        self.most = most

    def __call__(self, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        add = torch.randint(0, self.most, (len(batch["x"]), 1, 1, 1), generator=generator)
        return {**batch, "x": (batch["x"].int() + add).clamp(0, 255).to(batch["x"].dtype)}


@register("optimizer", "plain-sgd")
def plain_sgd(params: Annotated[Any, FromData], lr: Annotated[float, Field(gt=0)] = 0.1) -> torch.optim.Optimizer:
    """Gradient descent.

    Args:
        params: filled in.
        lr: step size.
    """
    return torch.optim.SGD(params, lr=lr)


@register("schedule", "halving")
def halving(every: Annotated[int, Field(gt=0)] = 10) -> Callable[[int], float]:
    """Halves the rate.

    Args:
        every: so many steps.
    """
    return lambda step: 0.5 ** (step // every)


@register("callback", "count-epochs")
class CountEpochs(Callback):
    """Prints."""

    def on_epoch_end(self, state: Any) -> None:
        print("my epoch", state.epoch)
'''

RECIPE = """
name: mine
threads: 1
data: {name: two-squares, batch_size: 32}
augment: [{name: brighter, most: 10}]
model: {name: one-layer}
task: {name: half-loss}
train:
  epochs: 12
  precision: fp32
  optimizer: {name: plain-sgd, lr: 0.5}
  schedule: {name: halving, every: 40}
  callbacks: [{name: count-epochs}]
"""


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lamplighter", *words], cwd=folder, capture_output=True, text=True, timeout=120
    )


def test_own_components_train_and_their_bundle_serves_without_them(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "mine.py").write_text(MODULE)
    (home / "recipe.yaml").write_text(RECIPE)
    done = run(home, "train", "recipe.yaml", "--import", "mine", "--out", "run")
    assert done.returncode == 0, done.stderr
    assert "my epoch 12" in done.stdout
    done = run(home, "export", "run", "--import", "mine")
    assert done.returncode == 0, done.stderr

    without = run(home, "export", "run")
    assert without.returncode == 2
    assert "unknown source 'two-squares'" in without.stderr

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    code = (
        "import sys, json, numpy as np\n"
        "sys.modules['torch'] = None\n"
        "import lamplighter as lamp\n"
        "image = np.zeros((8, 8), np.uint8); image[:, 4:] = 150\n"
        "print(json.dumps(lamp.load_bundle(sys.argv[1]).predict([image, image.T.copy()[:, ::-1].copy()])))\n"
    )
    served = subprocess.run(
        [sys.executable, "-c", code, str(home / "run" / "bundle")], cwd=elsewhere, capture_output=True, text=True
    )
    assert served.returncode == 0, served.stderr
    answers = json.loads(served.stdout)
    assert answers[0]["label"] == "right"
    assert answers[0]["confidence"] > 0.9
