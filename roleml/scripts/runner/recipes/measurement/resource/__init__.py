"""CPU and memory of this process."""

from __future__ import annotations

from roleml.scripts.runner.recipes.measurement.resource.session import ResourceMeasurementSession

__all__ = ["ResourceMeasurementSession"]
