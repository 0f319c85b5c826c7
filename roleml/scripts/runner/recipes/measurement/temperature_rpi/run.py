"""One actor, and how warm the Raspberry Pi gets by it, in `temperature_rpi.log`."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from roleml.cli.command import positive
from roleml.scripts.runner.recipes.measurement.temperature_rpi.session import RPITemperatureMeasurementSession
from roleml.scripts.runner.single import run_actor_from_cli

__all__ = ["run_with_temperature_rpi_measurements"]


def run_with_temperature_rpi_measurements(
    app_name: str = "dml", *, default_time: float = 140, **options: Any
) -> None:
    """Measure for 10 s, then run the actor that the command line describes and go on measuring.

    The flag `--rpi:time` says for how many seconds to measure. `options` are those of `run_actor_from_cli`.
    Raises as that, and as `RPITemperatureMeasurementSession`.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--rpi:time", dest="seconds", type=positive, default=default_time)
    arguments = options.pop("arguments", None)
    own, rest = parser.parse_known_args(sys.argv[1:] if arguments is None else arguments)
    with RPITemperatureMeasurementSession(app_name=app_name, seconds=own.seconds):
        run_actor_from_cli(arguments=rest, **options)


if __name__ == "__main__":
    run_with_temperature_rpi_measurements()
