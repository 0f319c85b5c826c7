"""Plugin attributes for roles."""
