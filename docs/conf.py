"""Sphinx: Markdown in, pages out (`make docs`)."""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.ext.napoleon import Config, GoogleDocstring

project = "RoleML"
default_role = "code"  # `names` in docstrings
author = "the RoleML authors"
project_copyright = "RoleML authors"
release = re.search(
    r'__version__ = "(.+)"', (Path(__file__).parent.parent / "roleml/__init__.py").read_text()
)[1]

extensions = ["myst_parser", "sphinx.ext.autodoc"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
# the manual is made without what a model may need; a class is documented without it
autodoc_mock_imports = ["numpy", "sklearn", "torch", "torchvision"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"RoleML {release}"
html_copy_source = False


def from_google_style(app, what, name, obj, options, lines):
    """The sections Args, Raises and so on. Not of properties: a colon there is no type's."""
    if what not in ("attribute", "data", "property"):
        config = Config(napoleon_use_ivar=True)
        lines[:] = GoogleDocstring(lines, config, app, what, name, obj, options).lines()


def setup(app):
    app.connect("autodoc-process-docstring", from_google_style)
