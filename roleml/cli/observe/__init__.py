"""`roleml call` and `roleml tail`: an actor for a moment, from the command line."""
