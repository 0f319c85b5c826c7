"""The pages of all errors, one a file, named by code. `make schema` copies them to docs/errors."""

from __future__ import annotations

from importlib.resources import files

__all__ = ["codes", "page", "title"]


def codes() -> list[str]:
    """The codes that have a page, in order."""
    names = (entry.name for entry in files(__name__).iterdir())
    return sorted(name.removesuffix(".md") for name in names if name.endswith(".md"))


def page(code: str) -> str:
    """The text of a page, in Markdown. Raises FileNotFoundError: there is none."""
    return (files(__name__) / f"{code}.md").read_text(encoding="utf-8")


def title(code: str) -> str:
    """What an error is, in a few words: the headline of its page, without the code."""
    return page(code).partition("\n")[0].partition(": ")[2]
