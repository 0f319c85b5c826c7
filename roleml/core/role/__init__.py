"""What role authors write with."""
