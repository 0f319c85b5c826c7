"""CPU and memory of this process."""

from __future__ import annotations

import os

from roleml.scripts.runner.recipes.measurement.base import MeasurementSession

__all__ = ["ResourceMeasurementSession"]


class ResourceMeasurementSession(MeasurementSession):
    """Lines such as `2026-11-24T22:05:01.123456789 -- CPU: 98.7%; RAM: VSZ 81234kB, RSS 41234kB`.

    A process on two processors may use up to 200% CPU.

    Raises:
        ModuleNotFoundError: psutil is not installed.
    """

    def __init__(self, filename: str | os.PathLike[str] = "resource.log", app_name: str = "app") -> None:
        super().__init__(filename, app_name)
        try:
            import psutil
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "measuring CPU and memory needs psutil: pip install 'roleml[metrics]'"
            ) from error
        self._process = psutil.Process()

    def measure(self) -> str:
        memory = self._process.memory_info()
        load = self._process.cpu_percent()
        return f"CPU: {load:.1f}%; RAM: VSZ {memory.vms // 1024}kB, RSS {memory.rss // 1024}kB"
