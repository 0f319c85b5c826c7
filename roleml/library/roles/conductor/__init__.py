"""Deploys roles to many actors from one place, and steers them: see `base.Conductor`."""
