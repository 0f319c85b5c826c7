"""Runs a whole application on one machine: all actors in this process, on devices as slow as you like."""

from __future__ import annotations

from roleml.simulation.experiment import Experiment
from roleml.simulation.session import Outcome, RunEndedError, run

__all__ = ["Experiment", "Outcome", "RunEndedError", "run"]
