"""``redis://``: a log that many processes and machines share, on Redis Streams, through coredis.

``scripts`` is what Redis itself does, each step atomic; ``link`` keeps a connection up; ``engine``
is both together.
"""

from __future__ import annotations

from .engine import RedisEngine

__all__ = ["RedisEngine"]
