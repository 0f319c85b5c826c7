"""A record for MLflow: in a database beside the others, or at the server of ``MLFLOW_TRACKING_URI``.

`mlflow ui --backend-store-uri sqlite:///FOLDER/mlflow.db` shows the former.
"""

from __future__ import annotations

import os
from pathlib import Path

from roleml.library.roles.recorder.entries import Entry

__all__ = ["MLflowWriter"]


class MLflowWriter:
    """One run, called like the folder; the metrics of a role instance are called `<actor>/<role>/<name>`."""

    def __init__(self, folder: Path) -> None:
        try:
            from mlflow import MlflowClient
            from mlflow.entities import Metric
        except ModuleNotFoundError as e:
            raise ModuleNotFoundError("the format mlflow needs MLflow: pip install 'roleml[mlflow]'") from e
        self._metric = Metric
        database = f"sqlite:///{(folder / 'mlflow.db').absolute()}"
        self._client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or database)
        experiment = self._client.get_experiment_by_name("RoleML")
        number = experiment.experiment_id if experiment else self._client.create_experiment("RoleML")
        run = self._client.create_run(number, run_name=folder.absolute().name)
        self._run: str = run.info.run_id

    def write(self, entry: Entry) -> None:
        at_ms, step = round(entry.time * 1000), entry.step or 0
        metrics = [
            self._metric(f"{entry.source}/{name}", value, at_ms, step) for name, value in entry.numbers()
        ]
        self._client.log_batch(self._run, metrics=metrics)

    def close(self) -> None:
        self._client.set_terminated(self._run)
