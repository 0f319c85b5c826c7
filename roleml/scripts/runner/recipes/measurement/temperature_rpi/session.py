"""The temperature of a Raspberry Pi."""

from __future__ import annotations

import os
import time
from pathlib import Path

from roleml.scripts.runner.recipes.measurement.base import MeasurementSession

__all__ = ["RPITemperatureMeasurementSession"]

#: in thousandths of a degree Celsius, as Linux says it
SENSOR = Path("/sys/class/thermal/thermal_zone0/temp")


class RPITemperatureMeasurementSession(MeasurementSession):
    """Lines such as `2026-11-24T22:05:01.123456789 -- Temperature: 48.3'C`, for `seconds` at most.

    `begin` raises FileNotFoundError where the system has no such sensor.
    """

    def __init__(
        self,
        filename: str | os.PathLike[str] = "temperature_rpi.log",
        app_name: str = "app",
        *,
        seconds: float = 140,
        sensor: Path = SENSOR,
    ) -> None:
        super().__init__(filename, app_name)
        self._seconds = seconds
        self._sensor = sensor
        self._deadline: float | None = None

    def measure(self) -> str:
        return f"Temperature: {int(self._sensor.read_text()) / 1000:.1f}'C"

    def _goes_on(self) -> bool:
        if self._deadline is None:
            self._deadline = time.monotonic() + self._seconds
        return super()._goes_on() and time.monotonic() < self._deadline
