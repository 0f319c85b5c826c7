"""`roleml graph`."""
