"""The temperature of a Raspberry Pi."""

from __future__ import annotations

from roleml.scripts.runner.recipes.measurement.temperature_rpi.session import RPITemperatureMeasurementSession

__all__ = ["RPITemperatureMeasurementSession"]
