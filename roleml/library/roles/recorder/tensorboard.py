"""A record for TensorBoard: `tensorboard --logdir FOLDER` shows it while the run goes on."""

from __future__ import annotations

from pathlib import Path

from roleml.library.roles.recorder.entries import Entry

__all__ = ["TensorBoardWriter"]


class TensorBoardWriter:
    """A run for each role instance, so that curves of one name lie over each other."""

    def __init__(self, folder: Path) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ModuleNotFoundError as e:
            raise ModuleNotFoundError(
                "the format tensorboard needs tensorboardX: pip install 'roleml[tensorboard]'"
            ) from e
        self._folder = folder
        self._make = SummaryWriter
        self._runs: dict[str, SummaryWriter] = {}

    def write(self, entry: Entry) -> None:
        name = f"{entry.source.actor_name}-{entry.source.instance_name}"
        run = self._runs.get(name)
        if run is None:
            run = self._runs[name] = self._make(str(self._folder / name), flush_secs=2)
        for value_name, value in entry.numbers():
            run.add_scalar(value_name, value, entry.step, walltime=entry.time)

    def close(self) -> None:
        for run in self._runs.values():
            run.close()
