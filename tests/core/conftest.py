"""Fixtures for tests that run actors."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator

import pytest

from tests.actors import Actors


@pytest.fixture
def actors() -> Iterator[Actors]:
    """A factory of actors; stops them, and takes back what a context does to the process."""
    folder, path, state = os.getcwd(), list(sys.path), random.getstate()
    made = Actors()
    try:
        yield made
    finally:
        made.stop()
        os.chdir(folder)
        sys.path[:] = path
        random.setstate(state)
