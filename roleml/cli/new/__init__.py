"""`roleml new`."""
