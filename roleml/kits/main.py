"""The same names as ``roleml.essentials``."""

from __future__ import annotations

from roleml.essentials import *  # noqa: F403
from roleml.essentials import __all__  # noqa: F401
