"""A user's own component of every kind: registered by an imported module, named in a recipe, built and used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lamplighter.core import registry
from lamplighter.core.errors import LamplighterError, RecipeError
from lamplighter.core.recipe import KIND_AT, Recipe
from lamplighter.monitor.alerts import Alert
from lamplighter.monitor.drift import Baseline, Finding, check
from lamplighter.run import fit

MODULE = '''
"""One component of each kind, as somebody outside of the project would write them."""

from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import nn

from lamplighter.core.recipe import AutoComponent
from lamplighter.core.registry import FromData, register
from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.data.preprocessing.pipeline import Pipeline
from lamplighter.data.rows import TensorRows
from lamplighter.data.splits import stratified
from lamplighter.losses.criterion import Criterion
from lamplighter.losses.cross_entropy import probabilities
from lamplighter.metrics.base import Metric
from lamplighter.metrics.thresholds import Criterion as Criterion_
from lamplighter.monitor.drift import Finding
from lamplighter.tasks.classification import Classification
from lamplighter.train.callbacks.base import Callback


@register("preprocess", "my-pairs")
class Pairs:
    """Rows {"a": 1, "b": 2} to a matrix.

    Args:
        scale: divides every number.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def __call__(self, rows: list[Any]) -> dict[str, np.ndarray]:
        return {"x": np.array([[row["a"], row["b"]] for row in rows], np.float32) / np.float32(self.scale)}


@register("source", "my-points")
class Points:
    """Two clouds of points.

    Args:
        rows: how many.
    """

    def __init__(
        self,
        rows: Annotated[int, Field(gt=9)] = 60,
        seed: Annotated[int, FromData] = 0,
        splits: Annotated[Any, FromData] = None,
    ) -> None:
        self.y = np.arange(rows) % 2
        self.points = np.random.default_rng(seed).normal(size=(rows, 2)) + 4 * self.y[:, None]
        self.splits = splits or stratified(self.y, (0.6, 0.2, 0.2), seed)
        self.preprocessing = Pipeline([{"name": "my-pairs", "scale": 2.0}])
        self.signature = Signature(
            inputs=(Column(name="a", kind="numeric"), Column(name="b", kind="numeric")),
            tensors=(TensorSpec(name="x", dtype="float32", shape=(2,)),),
            targets=(Column(name="cloud", kind="category", categories=("near", "far")),),
        )

    def split(self, name: str) -> TensorRows:
        chosen = getattr(self.splits, name)
        x = self.preprocessing(self.raw(name, np.arange(len(chosen))))["x"]
        return TensorRows({"x": torch.from_numpy(x), "y": torch.from_numpy(self.y[chosen])})

    def raw(self, name: str, indices: np.ndarray) -> list[Any]:
        return [{"a": float(a), "b": float(b)} for a, b in self.points[getattr(self.splits, name)[indices]]]

    def resolved(self) -> dict[str, Any]:
        return {}


@register("model", "my-linear")
class Linear(nn.Module):
    """A linear model.

    Args:
        in_features: from the data.
        num_classes: from the data.
        gain: multiplies the output.
    """

    def __init__(
        self, in_features: Annotated[int, FromData], num_classes: Annotated[int, FromData], gain: float = 1.0
    ) -> None:
        super().__init__()
        self.head = nn.Linear(in_features, num_classes)
        self.gain = gain

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gain * self.head(x)


@register("task", "my-classification")
class MyClassification(Classification):
    """Classification under another name.

    Args:
        model: from the data.
        signature: from the data.
        loss: what training makes small.
    """

    def __init__(
        self,
        model: Annotated[nn.Module, FromData],
        signature: Annotated[Signature, FromData],
        loss: AutoComponent = "auto",
    ) -> None:
        super().__init__(model, signature, loss=loss)


@register("loss", "my-brier")
class Brier(Criterion):
    """Squared distance of the probabilities from the truth.

    Args:
        scale: multiplies the loss.
    """

    takes = "classes"

    def __init__(self, scale: Annotated[float, Field(gt=0)] = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def terms(self, prediction: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        truth = probabilities(target, prediction)
        return self.scale * (prediction.softmax(1) - truth).square().sum(1) * truth.sum(1), truth.sum(1)


@register("metric", "my-profit")
class Profit(Metric):
    """What right answers earn less what wrong ones cost, per row.

    Args:
        cost: of a wrong answer.
    """

    takes = "labels"

    def __init__(self, cost: Annotated[float, Field(ge=0)] = 1.0) -> None:
        self.cost = cost
        self.key = "my_profit"

    def compute(self, predicted: Any, y: Any) -> float:
        return float(np.where(predicted == y, 1.0, -self.cost).mean()) if len(y) else float("nan")


@register("clip", "my-sign")
class Sign:
    """Every gradient becomes its sign.

    Args:
        size: what each entry becomes, but for its sign.
    """

    def __init__(self, size: Annotated[float, Field(gt=0)] = 1.0) -> None:
        self.size = size

    def __call__(self, parameters: Any) -> torch.Tensor:
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = torch.stack([g.norm() for g in gradients]).norm()
        for gradient in gradients:
            gradient.sign_().mul_(self.size)
        return norm


@register("threshold", "my-share")
class Share(Criterion_):
    """Answers yes to a share of the rows.

    Args:
        share: of the rows.
    """

    def __init__(self, share: Annotated[float, Field(gt=0, lt=1)] = 0.5) -> None:
        self.share = share

    def __call__(self, probabilities: np.ndarray, positive: np.ndarray) -> float:
        return float(np.quantile(probabilities, 1 - self.share))


@register("augment", "my-noise")
class Noise:
    """Adds noise.

    Args:
        level: standard deviation.
    """

    def __init__(self, level: float = 0.1) -> None:
        self.level = level

    def __call__(self, batch: dict[str, torch.Tensor], generator: torch.Generator) -> dict[str, torch.Tensor]:
        noise = torch.randn(batch["x"].shape, generator=generator)
        return {**batch, "x": batch["x"] + self.level * noise}


@register("optimizer", "my-sgd")
def my_sgd(
    params: Annotated[list[dict[str, Any]], FromData], lr: Annotated[float, Field(gt=0)] = 0.1
) -> torch.optim.Optimizer:
    """Gradient descent.

    Args:
        params: parameter groups.
        lr: step size.
    """
    return torch.optim.SGD(params, lr=lr)


@register("schedule", "my-half")
def my_half(total_steps: Annotated[int, FromData]) -> Any:
    """Half of the rate in the second half.

    Args:
        total_steps: of the whole training.
    """
    return lambda step: 1.0 if step < total_steps / 2 else 0.5


@register("callback", "my-counter")
class Counter(Callback):
    """Counts epochs.

    Args:
        at_most: stop after so many.
    """

    def __init__(self, at_most: int = 3) -> None:
        self.at_most = at_most
        self.seen = 0

    def on_epoch_end(self, state: Any) -> None:
        self.seen += 1
        if self.seen == self.at_most:
            state.stop("enough")

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]


@register("detector", "my-mean")
class MeanShift:
    """Compares means.

    Args:
        limit: standard errors that count as a change.
    """

    def __init__(self, limit: float = 6.0) -> None:
        self.limit = limit

    def __call__(self, reference: Any, current: np.ndarray, alpha: float, seed: int) -> Finding:
        before, now = reference.rows.mean(0), current.mean(0)
        errors = np.abs(now - before) / (current.std(0) / np.sqrt(len(current)))
        return Finding(p_value=0.0 if errors.max() > self.limit else 1.0, effect=float(np.abs(now - before).max()))


@register("sink", "my-list")
class ListSink:
    """Keeps alerts in a list."""

    def __init__(self) -> None:
        self.alerts: list[Any] = []

    def send(self, alert: Any) -> None:
        self.alerts.append(alert)


@register("format", "my-names")
def write(spec: Any, folder: Any, example: Any, signature: Any) -> str:
    """Writes the names of the outputs.

    Args:
        spec: the network.
        folder: where to write.
        example: not used.
        signature: not used.
    """
    (folder / "names.txt").write_text(",".join(spec.outputs))
    return "names.txt"
'''

RECIPE = """
name: mine
data: {name: my-points, rows: 80, batch_size: 8}
augment: [{name: my-noise, level: 0.2}]
model: {name: my-linear, gain: 2.0}
task: {name: my-classification, loss: {name: my-brier}}
train:
  epochs: 2
  optimizer: {name: my-sgd, lr: 0.5}
  schedule: {name: my-half}
  clip: {name: my-sign, size: 0.5}
  metrics: [{name: my-profit, cost: 2}]
  callbacks: [{name: my-counter, at_most: 2}]
bundle: {threshold: {name: my-share, share: 0.25}}
monitor:
  detectors: [{name: my-mean, limit: 5.0}]
  sinks: [{name: my-list}]
"""


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """``my_components.parts`` imported as ``--import`` does it, and forgotten again."""
    package = tmp_path / "my_components"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "parts.py").write_text(MODULE)
    monkeypatch.setattr(registry, "_USER", {})
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.import_user_modules(["my_components.parts"])
    yield
    for name in ("my_components", "my_components.parts"):
        sys.modules.pop(name, None)


def test_there_is_one_of_every_kind(imported: None) -> None:
    assert sorted(registry._USER) == registry.kinds()
    for kind in registry.kinds():
        assert [name for name in registry.names(kind) if name.startswith("my-")]


def test_a_recipe_names_them_and_fills_in_defaults(imported: None) -> None:
    recipe = Recipe.parse(RECIPE)
    assert recipe.model.params == {"gain": 2.0}
    assert recipe.data.params == {"rows": 80}
    assert recipe.monitor.sinks[0].name == "my-list"
    assert recipe.task.params == {"loss": {"name": "my-brier", "scale": 1.0}}
    used = {"source", "augment", "model", "task", "loss", "optimizer", "schedule", "callback", "detector", "sink"}
    used |= {"metric", "threshold", "clip"}
    assert used == set(KIND_AT.values())
    assert Recipe.parse(
        "name: mine\ndata: {name: my-points}\nmodel: {name: my-linear}\ntask: {name: my-classification}"
    )


def test_their_mistakes_are_explained_like_any_other(imported: None) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.parse(RECIPE.replace("rows: 80", "rows: 3").replace("gain: 2.0", "gian: 2.0"))
    problems = "\n".join(caught.value.problems)
    assert "recipe:3: data.rows" in problems
    assert "recipe:5: model.gian: unknown key (did you mean 'gain'?)" in problems


def test_without_the_import_the_names_are_unknown() -> None:
    with pytest.raises(RecipeError, match="unknown model 'my-linear'"):
        Recipe.parse(RECIPE)


def test_a_module_that_does_not_exist_is_named() -> None:
    with pytest.raises(LamplighterError, match=r"--import my_components\.nothing: no such module"):
        registry.import_user_modules(["my_components.nothing"])


def test_they_train_together(imported: None) -> None:
    """Source, preprocessing, augment, model, task, optimizer, schedule and callback, built from one recipe."""
    recipe = Recipe.parse(RECIPE)
    source = registry.build("source", recipe.data.name, recipe.data.params, {"seed": 0})
    facts = source.signature.facts()
    torch.manual_seed(0)
    model = registry.build("model", recipe.model.name, recipe.model.params, facts)
    task = registry.build("task", recipe.task.name, recipe.task.params, {**facts, "model": model})
    settings = recipe.train
    groups = {"params": [{"params": list(task.parameters())}], "total_steps": 40}
    optimizer = registry.build("optimizer", settings.optimizer.name, settings.optimizer.params, groups)
    factor = registry.build("schedule", settings.schedule.name, settings.schedule.params, groups)
    augment = registry.build("augment", recipe.augment[0].name, recipe.augment[0].params)
    rows = source.split("train")
    for step in range(40):
        batch = augment(rows.fetch(np.arange(len(rows))), torch.Generator().manual_seed(step))
        optimizer.param_groups[0]["lr"] = settings.optimizer.params["lr"] * factor(step)
        for loss in task.step(batch):
            optimizer.zero_grad()
            loss.value.backward()
            optimizer.step()
    held_out = source.split("val")
    with torch.inference_mode():
        found: dict[str, Any] = task.eval().evaluate(held_out.fetch(np.arange(len(held_out))))
    assert task.metrics({key: value.numpy() for key, value in found.items()})["accuracy"] > 0.9
    served = source.preprocessing([{"a": 2.0, "b": 4.0}])
    np.testing.assert_array_equal(served["x"], np.array([[1.0, 2.0]], np.float32))


def test_their_callback_stops_training(imported: None) -> None:
    component = Recipe.parse(RECIPE).train.callbacks[0]
    callback = registry.build("callback", component.name, component.params)

    class Stand:
        reason = ""

        def stop(self, reason: str) -> None:
            self.reason = reason

    stand = Stand()
    callback.on_epoch_end(stand)
    assert stand.reason == ""
    callback.on_epoch_end(stand)
    assert stand.reason == "enough"


def test_their_metric_and_their_threshold_judge_a_run(imported: None, tmp_path: Path) -> None:
    run = fit(Recipe.parse(RECIPE), out=tmp_path / "run", progress=False)
    epochs = [record for record in run.history if record["event"] == "epoch"]
    assert len(epochs) == 2 and all(-2 <= record["val/my_profit"] <= 1 for record in epochs)
    score = run.metrics["my_profit"]
    right = run.metrics["accuracy"].value
    assert score.value == pytest.approx(right - 2 * (1 - right)) and score.low <= score.value <= score.high
    _, outputs, _ = run.answers("val")
    assert outputs["answers"].mean() == pytest.approx(0.25, abs=0.07)


def test_their_detector_joins_a_verdict(imported: None) -> None:
    component = Recipe.parse(RECIPE).monitor.detectors[0]
    detector = registry.build("detector", component.name, component.params)
    rng = np.random.default_rng(0)
    reference, same = rng.normal(size=(200, 2)), rng.normal(size=(100, 2))
    assert isinstance(detector(Baseline.from_rows(reference), same, 0.05, 0), Finding)
    assert not check(reference, same, detectors=[detector]).drifted
    verdict = check(reference, same + 3, detectors=[detector])
    assert verdict.drifted
    assert verdict.findings[0].detector == "MeanShift"


def test_their_sink_gets_alerts(imported: None) -> None:
    sink = registry.build("sink", Recipe.parse(RECIPE).monitor.sinks[0].name, {})
    alert = Alert("data-drift", "mine", "1", "firing", 1.0, None, "changed", {})
    sink.send(alert)
    assert sink.alerts == [alert]


def test_their_format_writes_a_file(imported: None, tmp_path: Path) -> None:
    from lamplighter.core.export_spec import ExportSpec

    spec = ExportSpec(torch.nn.Identity(), "classification", ("logits", "embedding"))
    assert registry.get("format", "my-names")(spec, tmp_path, (), None) == "names.txt"
    assert (tmp_path / "names.txt").read_text() == "logits,embedding"
