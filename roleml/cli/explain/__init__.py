"""`roleml explain`."""
