"""``postgresql://``: events in a PostgreSQL database, with `psycopg` 3.

Its libpq is asked without blocking, and Trio waits for the socket: no thread, and whatever hangs
can be cancelled. All that is done with tables is in the functions of ``schema.sql``.
"""

from __future__ import annotations

from .engine import PostgresEngine

__all__ = ["PostgresEngine"]
