"""Short import paths for common names."""
