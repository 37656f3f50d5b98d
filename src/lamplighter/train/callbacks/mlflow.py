"""Runs in MLflow."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamplighter.core import extras, files
from lamplighter.core.errors import TrainingError
from lamplighter.train.callbacks.base import Callback, State
from lamplighter.train.callbacks.logged import flat, numbers, recipe_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

extras.require("mlflow")

_MOST_PARAMETERS = 100  # of one request
_LONGEST_VALUE = 500  # what every version of the server takes


class MLflow(Callback):
    """Makes an MLflow run: the recipe's settings as parameters, the numbers of each validation as metrics.

    A resumed training goes on with its MLflow run, whose id is kept in the run's directory (``mlflow.json``). When the
    server cannot be reached as training begins that is an error; later it is a warning, since ``metrics.jsonl`` has
    everything. MLflow's own telemetry is switched off.

    Look at a local folder with ``MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri mlruns``.

    Args:
        tracking_uri: server or store; null: the environment variable MLFLOW_TRACKING_URI, else the folder ``mlruns``
            where training was started.
        experiment: null: the recipe's name.
    """

    def __init__(self, tracking_uri: str | None = None, experiment: str | None = None) -> None:
        self.tracking_uri = tracking_uri
        self.experiment = experiment
        self.client: MlflowClient | None = None
        self.run_id = ""
        self._complete = False

    def on_train_start(self, state: State) -> None:
        if not state.writes:
            return
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # newer versions ask for this to write into a folder
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        uri = self.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or Path("mlruns").absolute().as_uri()
        try:
            client = MlflowClient(tracking_uri=uri)
            self.run_id = self._begun(client, state, uri) or self._begin(client, state, uri)
        except (MlflowException, OSError) as error:
            raise TrainingError(f"callback 'mlflow': cannot write to {uri}: {error}") from error
        self.client, self._complete = client, False

    def on_validation_end(self, state: State) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, state.step) for name, value in numbers(state).items()]
        self._try(lambda client: client.log_batch(self.run_id, metrics=metrics))

    def on_train_end(self, state: State) -> None:
        self._complete = True

    def close(self, state: State) -> None:
        self._try(lambda client: client.set_terminated(self.run_id, "FINISHED" if self._complete else "KILLED"))
        self.client = None

    def _begun(self, client: MlflowClient, state: State, uri: str) -> str | None:
        """The run that an earlier part of this training made, if the store has it."""
        from mlflow.exceptions import MlflowException

        path = state.folder / "mlflow.json"
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if known.get("tracking_uri") != uri:
            return None
        try:
            client.update_run(known["run_id"], status="RUNNING")
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None  # somebody deleted it
        return str(known["run_id"])

    def _begin(self, client: MlflowClient, state: State, uri: str) -> str:
        from mlflow.entities import Param

        recipe = recipe_of(state)
        name = self.experiment or str(recipe.get("name") or state.folder.name)
        found = client.get_experiment_by_name(name)
        experiment = found.experiment_id if found is not None else client.create_experiment(name)
        run_id = str(client.create_run(experiment, run_name=state.folder.name).info.run_id)
        parameters = [Param(key, str(value)[:_LONGEST_VALUE]) for key, value in flat(recipe).items()]
        for start in range(0, len(parameters), _MOST_PARAMETERS):
            client.log_batch(run_id, params=parameters[start : start + _MOST_PARAMETERS])
        files.write_json(state.folder / "mlflow.json", {"tracking_uri": uri, "run_id": run_id})
        return run_id

    def _try(self, write: Callable[[MlflowClient], Any]) -> None:
        """Training is worth more than its record elsewhere: a server that went away is a warning."""
        if self.client is None:
            return
        from mlflow.exceptions import MlflowException

        try:
            write(self.client)
        except (MlflowException, OSError) as error:
            warnings.warn(f"callback 'mlflow': {error}; metrics.jsonl has the numbers", stacklevel=2)
