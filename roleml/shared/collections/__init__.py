"""Collections that know nothing of roles or messages."""
