"""Entry points of RoleML 0.3 for programs that import them; the command line is `roleml`."""
