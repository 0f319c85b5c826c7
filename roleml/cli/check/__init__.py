"""`roleml check`."""
