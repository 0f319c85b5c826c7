"""Roles, actors, and the builders that make them from configuration."""
