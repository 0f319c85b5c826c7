"""From a configuration to an actor."""
