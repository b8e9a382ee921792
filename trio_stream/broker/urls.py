"""URLs in error messages, which end up in logs."""

from __future__ import annotations

import re

__all__ = ["without_login"]


def without_login(url: str) -> str:
    """The URL without the user and the password that it may hold."""
    return re.sub(r"//[^/]*@", "//***@", url)
