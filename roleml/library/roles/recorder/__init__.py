"""Records the metrics of other roles."""
