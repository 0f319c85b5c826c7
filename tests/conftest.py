"""What every test shares: hypothesis without a stop-watch, headless plots, and a broker to ask for."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

pytest_plugins = ["tests.broker.fixtures"]

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.pop("ROLEML_BROKER", None)

# What a shell runs in the background ignores SIGINT, and so do its children. Tests interrupt some.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The time limit of a test is pytest-timeout's; a per-example deadline fails on a busy machine for no reason.
settings.register_profile("roleml", deadline=None, print_blob=True)
settings.load_profile("roleml")
