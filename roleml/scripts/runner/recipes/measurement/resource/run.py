"""One actor, and what it takes of CPU and memory, in `resource.log`."""

from __future__ import annotations

from typing import Any

from roleml.scripts.runner.recipes.measurement.resource.session import ResourceMeasurementSession
from roleml.scripts.runner.single import run_actor_from_cli

__all__ = ["run_with_resource_measurements"]


def run_with_resource_measurements(app_name: str = "dml", **options: Any) -> None:
    """Measure for 10 s, then run the actor that the command line describes and go on measuring.

    `options` are those of `run_actor_from_cli`. Raises as that, and as `ResourceMeasurementSession`.
    """
    with ResourceMeasurementSession(app_name=app_name):
        run_actor_from_cli(**options)


if __name__ == "__main__":
    run_with_resource_measurements()
