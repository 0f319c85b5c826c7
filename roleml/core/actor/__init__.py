"""The node that hosts roles."""
