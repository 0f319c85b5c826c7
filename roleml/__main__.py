"""`python -m roleml`: the command line, where the `roleml` script is not on the path."""

from __future__ import annotations

import sys

from roleml.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
