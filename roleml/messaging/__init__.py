"""Moves messages between named actors; knows nothing of roles."""
