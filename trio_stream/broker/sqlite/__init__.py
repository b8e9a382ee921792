"""``sqlite:///path``: a log in a file, for one process, with nothing to install.

``blocks`` is how events lie in the file; ``store`` is the file; ``worker`` is the one thread that
does all of that; ``engine`` is what publishers wait for.
"""

from __future__ import annotations

from .engine import SqliteEngine

__all__ = ["SqliteEngine"]
