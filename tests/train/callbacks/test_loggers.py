"""TensorBoard and MLflow: what was written is read back with their own readers. (`logged`, `tensorboard`, `mlflow`.)"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lamplighter as lamp
from lamplighter.core import registry
from lamplighter.core.errors import MissingExtraError, TrainingError
from lamplighter.core.recipe import Recipe
from lamplighter.tasks.base import Task
from lamplighter.train.callbacks import logged
from lamplighter.train.callbacks.base import State
from lamplighter.train.callbacks.mlflow import MLflow
from lamplighter.train.callbacks.tensorboard import TensorBoard

RECIPE = """
name: logged
threads: 1
data: {name: digits, batch_size: 128}
model: {name: mlp, hidden: [16, 8]}
task: {name: classification}
train:
  epochs: 3
  precision: fp32
  callbacks: [{name: tensorboard}, {name: mlflow}]
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_ALLOW_FILE_STORE", "MLFLOW_DISABLE_TELEMETRY"):
        monkeypatch.delenv(variable, raising=False)
    yield


@pytest.fixture
def run(tmp_path: Path) -> lamp.Run:
    return lamp.fit(Recipe.parse(RECIPE), tmp_path / "runs" / "7", progress=False)


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def tracked(folder: Path) -> tuple[Any, Any]:
    """MLflow's client and the only run of the folder."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=(folder / "mlruns").as_uri())
    (experiment,) = [each for each in client.search_experiments() if each.name != "Default"]
    (found,) = client.search_runs([experiment.experiment_id])
    assert experiment.name == "logged"
    return client, found


def test_tensorboard_has_the_curves_and_the_recipe(run: lamp.Run) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    epochs = [record for record in run.history if record["event"] == "epoch"]
    shown = scalars(run.path / "tensorboard")
    assert {"train/loss", "val/loss", "val/accuracy", "lr"} <= set(shown)
    for name, points in shown.items():
        assert points == [(r["step"], pytest.approx(r[name], rel=1e-6)) for r in epochs], name
    events = EventAccumulator(str(run.path / "tensorboard")).Reload()
    (text,) = events.Tensors("recipe/text_summary")
    assert b"hidden:" in text.tensor_proto.string_val[0]
    assert "_hparams_/experiment" in events.PluginTagToContent("hparams")
    assert b"model.hidden" in events.PluginTagToContent("hparams")["_hparams_/session_start_info"]


def test_mlflow_has_the_parameters_and_the_curves(run: lamp.Run, tmp_path: Path) -> None:
    client, found = tracked(tmp_path)
    epochs = [record for record in run.history if record["event"] == "epoch"]
    assert (found.info.status, found.info.run_name) == ("FINISHED", "7")
    assert found.data.params["model.hidden"] == "[16, 8]"
    assert found.data.params["train.callbacks.1.name"] == "mlflow"
    assert found.data.params["train.precision"] == "fp32"
    for name in ("train/loss", "val/loss", "val/accuracy", "lr"):
        points = [(point.step, point.value) for point in client.get_metric_history(found.info.run_id, name)]
        assert points == [(record["step"], record[name]) for record in epochs], name


def test_mlflow_phones_nobody(run: lamp.Run) -> None:
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    telemetry = pytest.importorskip("mlflow.telemetry")  # newer versions have it, switched on
    assert telemetry.get_telemetry_client() is None


def drive(callback: Any, folder: Path, steps: range, name: str = "val/loss", end: bool = False) -> None:
    state = State(Task(), "loss", "min", 9, folder=folder, step=steps.start)
    callback.on_train_start(state)
    for step in steps:
        state.step = step + 1
        state.metrics = {name: step + 0.5, "val/roc_auc": float("nan")}
        callback.on_validation_end(state)
    if end:
        callback.on_train_end(state)
    callback.close(state)


def test_a_resumed_run_hides_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    drive(TensorBoard(), tmp_path, range(5))
    drive(TensorBoard(), tmp_path, range(3, 7))
    points = scalars(tmp_path / "tensorboard")
    assert points == {"val/loss": [(step + 1, step + 0.5) for step in range(7)]}


def test_a_resumed_run_is_one_run_in_mlflow(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("name: logged\n")
    drive(MLflow(), tmp_path, range(2))
    _, cut = tracked(tmp_path)
    assert cut.info.status == "KILLED"
    drive(MLflow(), tmp_path, range(2, 4), end=True)
    client, found = tracked(tmp_path)
    assert found.info.run_id == cut.info.run_id and found.info.status == "FINISHED"
    assert [p.value for p in client.get_metric_history(found.info.run_id, "val/loss")] == [0.5, 1.5, 2.5, 3.5]
    client.delete_run(found.info.run_id)
    known = json.loads((tmp_path / "mlflow.json").read_text())
    (tmp_path / "mlflow.json").write_text(json.dumps({**known, "run_id": "f" * 32}))
    drive(MLflow(), tmp_path, range(1))
    assert tracked(tmp_path)[1].info.run_id != found.info.run_id, "a run that is gone is begun anew"


def test_where_mlflow_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "env").as_uri())
    (tmp_path / "run").mkdir()
    drive(MLflow(experiment="mine"), tmp_path / "run", range(1))
    drive(MLflow(tracking_uri=(tmp_path / "own").as_uri()), tmp_path / "run", range(1))
    assert (tmp_path / "env").is_dir() and (tmp_path / "own").is_dir() and not (tmp_path / "mlruns").exists()


def test_a_server_that_is_not_there_is_an_error_and_one_that_goes_away_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.exceptions import MlflowException

    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="callback 'mlflow': cannot write to file://"):
        drive(MLflow(tracking_uri=(tmp_path / "file").as_uri()), tmp_path, range(1))
    callback, state = MLflow(), State(Task(), "loss", "min", 9, folder=tmp_path, metrics={"val/loss": 1.0})
    callback.on_train_start(state)

    def gone(*_: Any, **__: Any) -> None:
        raise MlflowException("connection refused")

    monkeypatch.setattr(callback.client, "log_batch", gone)
    with pytest.warns(UserWarning, match="connection refused; metrics.jsonl has the numbers"):
        callback.on_validation_end(state)
    callback.close(state)


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_a_missing_package_is_one_pip_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = f"lamplighter.train.callbacks.{name}"
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(importlib.import_module("lamplighter.train.callbacks"), name, None, raising=False)
    for loaded in [key for key in sys.modules if key.split(".")[0] == name]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'lamplighter\[loggers\]'"):
        registry.get("callback", name)


def test_parameters_are_flat() -> None:
    recipe = {"a": {"b": [1, "x"], "c": None, "d": []}, "e": [{"name": "f", "g": True}]}
    assert logged.flat(recipe) == {"a.b": '[1, "x"]', "a.c": None, "a.d": "[]", "e.0.name": "f", "e.0.g": True}
