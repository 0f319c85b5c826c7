"""What collects the results of a group."""
