"""The page: one document with its style and script in it, so that it needs no other address."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

__all__ = ["page_with"]


def page_with(nonce: str) -> bytes:
    """The page, whose style and script have this nonce."""
    return _page().replace("{{nonce}}", nonce).encode()


@cache
def _page() -> str:
    parts = files(__package__)
    page = (parts / "page.html").read_text("utf-8")
    for name in ("page.css", "page.js"):
        page = page.replace(f"{{{{{name}}}}}", (parts / name).read_text("utf-8"))
    return page
