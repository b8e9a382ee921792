"""``sqlite:///path``: a log in a file, for one process, with nothing to install.

``blocks`` is how events lie in the file; ``store`` is the file, and ``place`` where it is;
``worker`` is the one thread that does all of that, and ``watch`` another that looks after it;
``engine`` is what publishers wait for, one ``batch`` of them after another.
"""

from __future__ import annotations

from .engine import SqliteEngine

__all__ = ["SqliteEngine"]
