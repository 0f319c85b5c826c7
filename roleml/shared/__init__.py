"""What knows nothing of roles or messages."""
