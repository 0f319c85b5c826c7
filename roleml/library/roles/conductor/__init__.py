"""Deploys roles to many actors from one place, and steers them: see `base.Conductor`."""

from __future__ import annotations

from roleml.library.roles.conductor.base import Conductor

__all__ = ["Conductor"]
