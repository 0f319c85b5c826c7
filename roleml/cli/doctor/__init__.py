"""`roleml doctor`."""
