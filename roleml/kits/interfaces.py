"""Interfaces that roles and workloads may implement."""

from __future__ import annotations

from roleml.shared.interfaces import Deserializable, Runnable, Serializable

__all__ = ["Deserializable", "Runnable", "Serializable"]
