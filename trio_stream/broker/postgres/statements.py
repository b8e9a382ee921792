"""What is asked of the functions of ``schema.sql``; their columns are theirs, in that order."""

from __future__ import annotations

from .values import (
    BOOL,
    BYTES,
    BYTES_ARRAY,
    FLOAT,
    FLOAT_ARRAY,
    INT,
    LONG,
    LONG_ARRAY,
    RAW_XID,
    RAW_XIDS,
    UUID,
    Statement,
)

#: Topics, and how much is kept of each: events, bytes, seconds.
_KEPT = (BYTES_ARRAY, LONG_ARRAY, LONG_ARRAY, FLOAT_ARRAY)

#: The version of the schema that this is for.
VERSION = 3

VERSION_OF = Statement("version", "SELECT version, pg_is_in_recovery() FROM trio_stream.log", ())
ENTER = Statement.of("enter", LONG, LONG)
LIVE = Statement.of("live", LONG, LONG, INT)
NUMBER = Statement.of("number", RAW_XID, RAW_XIDS, INT, BOOL)
APPEND = Statement.of(
    "append",
    *(LONG, UUID, BOOL, BYTES_ARRAY, BYTES_ARRAY, BYTES_ARRAY, BYTES_ARRAY),
    *(BYTES_ARRAY, BYTES_ARRAY, BYTES_ARRAY, FLOAT_ARRAY, RAW_XID, RAW_XIDS),
)
#: For a role that may do nothing else.
INSERT = Statement(
    "insert",
    "INSERT INTO trio_stream.outbox (topic, key, but, body, keep, once, once_for, ring) "
    "SELECT topic, key, but, body, $7, once, once_for, true "
    "FROM unnest($1, $2, $3, $4, $5, $6) AS e (topic, key, but, body, once, once_for)",
    (*(BYTES_ARRAY,) * 5, FLOAT_ARRAY, BOOL),
)
PASS_ON = Statement.of("pass_on", BYTES_ARRAY, BYTES_ARRAY, BYTES_ARRAY, BYTES_ARRAY)
READ = Statement.of("read", *_KEPT, LONG, LONG, INT, INT)
LOOK_AHEAD = Statement.of("look_ahead", LONG, INT)
LOOK_BACK = Statement.of("look_back", LONG, INT)
NEWEST = Statement.of("newest", *_KEPT, LONG, LONG, LONG)
PLACE_SINCE = Statement.of("place_since", FLOAT)
FIND_ONCE = Statement.of("find_once", BYTES, BYTES)
FORGET = Statement.of("forget", BYTES, LONG, LONG, LONG, FLOAT)
TRIM = Statement.of("trim", *_KEPT, LONG, INT)
TOO_OLD = Statement.of("too_old", LONG, FLOAT, INT)
TIDY = Statement.of("tidy", LONG)
CLAIM = Statement.of("claim", BYTES, BYTES, FLOAT)
PROLONG = Statement.of("prolong", BYTES, BYTES, FLOAT)
RELEASE = Statement.of("release", BYTES, BYTES)
HOLDER = Statement.of("holder", BYTES)
JOIN = Statement.of("join_topic", BYTES, BYTES, BYTES, INT, FLOAT)
DESCRIBE = Statement.of("describe", BYTES, BYTES, BYTES)
MEMBERS = Statement.of("members", BYTES)
LAPSED = Statement.of("lapsed")

#: Locks of a connection, by their numbers in ``schema.sql``.
TRY_LOCK = Statement("try_lock", "SELECT pg_try_advisory_lock(1953655151, $1)", (INT,))
UNLOCK = Statement("unlock", "SELECT pg_advisory_unlock(1953655151, $1)", (INT,))
ASLEEP, ON_DUTY = 2, 3

#: Of a process that appends, by a number of its own.
LOCK_OUT = Statement("lock_out", "SELECT pg_advisory_lock($1)", (LONG,))
