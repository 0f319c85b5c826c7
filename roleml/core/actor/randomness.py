"""The random number generators that a process has by itself, as data."""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Mapping
from typing import Any

__all__ = ["capture", "restore"]


def capture() -> dict[str, Any]:
    """The states of the generators of `random`, and of numpy and torch where they were imported."""
    states: dict[str, Any] = {"random": random.getstate()}
    if (numpy := sys.modules.get("numpy")) is not None:
        states["numpy"] = numpy.random.get_state()
    if (torch := sys.modules.get("torch")) is not None:
        states["torch"] = torch.get_rng_state()
        if torch.cuda.is_initialized():
            states["torch.cuda"] = torch.cuda.get_rng_state_all()
    return states


def restore(states: Mapping[str, Any]) -> None:
    """Let the generators go on from there. Imports numpy and torch where they were imported then."""
    if "random" in states:
        random.setstate(states["random"])
    if "numpy" in states:
        importlib.import_module("numpy.random").set_state(states["numpy"])
    if "torch" in states:
        importlib.import_module("torch").set_rng_state(states["torch"])
    if "torch.cuda" in states:
        importlib.import_module("torch.cuda").set_rng_state_all(states["torch.cuda"])
