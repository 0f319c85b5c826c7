"""What every test shares: hypothesis without a stop-watch, headless plots, and a broker to ask for."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

pytest_plugins = ["tests.broker.fixtures"]

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.pop("ROLEML_BROKER", None)

# What a shell runs in the background ignores SIGINT, and so do its children. Tests interrupt some.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The time limit of a test is pytest-timeout's; a per-example deadline fails on a busy machine for no reason.
settings.register_profile("roleml", deadline=None, print_blob=True)
settings.load_profile("roleml")


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """A test that sets up the log, as building an actor does, leaves the next one as it found it."""
    root = logging.getLogger("roleml")
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers[:]:
        if handler not in handlers:
            root.removeHandler(handler)
            handler.close()
    root.setLevel(level)
