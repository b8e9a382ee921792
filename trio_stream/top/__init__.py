"""The command ``trio-stream top``: what the inspector's page shows, in a terminal."""

from __future__ import annotations

from .command import add_top

__all__ = ["add_top"]
