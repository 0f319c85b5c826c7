"""Sphinx: Markdown in, pages out (`make docs`)."""

from __future__ import annotations

import re
from pathlib import Path

project = "RoleML"
author = "the RoleML authors"
project_copyright = "RoleML authors"
release = re.search(
    r'__version__ = "(.+)"', (Path(__file__).parent.parent / "roleml/__init__.py").read_text()
)[1]

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"RoleML {release}"
html_copy_source = False
