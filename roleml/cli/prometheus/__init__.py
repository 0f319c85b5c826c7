"""`roleml prometheus`: figures for Prometheus."""
