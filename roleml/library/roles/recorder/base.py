"""The recorder: writes down what other roles log as metrics."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from operator import methodcaller
from pathlib import Path

from roleml.core.context import RoleInstanceID
from roleml.core.role.base import Role
from roleml.core.role.channels import EventHandler, Service
from roleml.core.role.elements import Element
from roleml.core.role.metrics import METRICS
from roleml.core.role.types import Args, Payloads
from roleml.library.roles.recorder.entries import Entry
from roleml.library.roles.recorder.writers import DEFAULT_FORMATS, Writers

__all__ = ["MetricsRecorder"]


class MetricsRecorder(Role):
    """Follows the channel `metrics` of the members of its relationship `recorded`, and writes all of it down.

    Args:
        folder: where files go; made at the first entry. What an earlier run wrote there is added to.
        formats: any of `jsonl` (`record.jsonl`, a JSON object an entry), `csv` (`record.csv`, a row a value),
            `tensorboard` and `mlflow` (folders of these programs).
    """

    writers: Element[Writers] = Element(
        Writers, default_constructor=Writers, default_destructor=methodcaller("close")
    )

    def __init__(self, folder: str, formats: Sequence[str] = DEFAULT_FORMATS) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.formats = tuple(formats)
        self._written = threading.Condition()
        self._numbers: Counter[RoleInstanceID] = Counter()

    @EventHandler("recorded", METRICS)
    def on_metrics(self, source: RoleInstanceID, args: Args, _: Payloads) -> None:
        self.write(Entry(args["time"], source, args["step"], args["values"]))

    @Service(expand=True)
    def count(self, _: RoleInstanceID) -> int:
        """How many entries were written."""
        return self.number

    @property
    def number(self) -> int:
        """How many entries were written."""
        with self._written:
            return sum(self._numbers.values())

    def wait_for(self, numbers: Mapping[RoleInstanceID, int], timeout_s: float) -> bool:
        """Whether, within the time-out, as many entries of each source were written as `numbers` says."""
        with self._written:
            return self._written.wait_for(
                lambda: all(self._numbers[source] >= number for source, number in numbers.items()), timeout_s
            )

    def write(self, entry: Entry) -> None:
        """Write one entry, in all formats; for any thread.

        Raises:
            ModuleNotFoundError: the program of a format is not installed.
            OSError: the folder cannot be written to.
        """
        with self._written:
            self.writers().write(entry, self.folder, self.formats)
            self._numbers[entry.source] += 1
            self._written.notify_all()
