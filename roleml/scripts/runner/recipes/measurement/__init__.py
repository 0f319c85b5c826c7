"""Measurements beside a running actor."""

from __future__ import annotations

from roleml.scripts.runner.recipes.measurement.base import MeasurementSession

__all__ = ["MeasurementSession"]
