#!/bin/sh
# sqlite-anyio 0.3.2 (with anyio 4.16.0, on Trio 0.35.0; SQLite of Python's own sqlite3)
#
# Expected: a statement that is cancelled, by a timeout say, is undone, and the transaction it was
#   in is as it was before: that is how SQLite treats a statement that fails.
# Instead: cancelling interrupts SQLite, and an INSERT, UPDATE or DELETE that is interrupted rolls
#   the whole transaction back. What comes next opens a new one, and the commit succeeds: what was
#   inserted before the timeout is gone, what was after it is there. An interrupted SELECT does no
#   harm.
# Matters: `move_on_after` around one slow write of several loses events that the program has every
#   reason to believe stored, and may have told its clients of. in_transaction is the only sign.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    sqlite-anyio==0.3.2 anyio==4.16.0 trio==0.35.0

cat > seen.py <<'PYTHON'
import sqlite3

import sqlite_anyio
import trio

SLOW = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000)"
SLOW_WRITE = f"INSERT INTO log(data) {SLOW} SELECT i FROM n WHERE i % 1000 = 0"
SLOW_READ = f"{SLOW} SELECT count(*) FROM n"


async def store(slow):
    """Two events, a slow statement that is given up, a third event, and the commit."""
    connection = await sqlite_anyio.connect(":memory:")
    cursor = await connection.cursor()
    await cursor.execute("CREATE TABLE log(id INTEGER PRIMARY KEY, data TEXT)")
    await connection.commit()
    for data in ("first", "second"):
        await cursor.execute("INSERT INTO log(data) VALUES (?)", [data])
    with trio.move_on_after(0.3) as timeout:
        await cursor.execute(slow)
    assert timeout.cancelled_caught
    await cursor.execute("INSERT INTO log(data) VALUES ('third')")
    await connection.commit()
    await cursor.execute("SELECT id, data FROM log")
    stored = await cursor.fetchall()
    await connection.close()
    return stored


read, written = trio.run(store, SLOW_READ), trio.run(store, SLOW_WRITE)
print(f"SQLite {sqlite3.sqlite_version}")
print(f"a read was given up: {read}\na write was given up: {written}")
assert read == [(1, "first"), (2, "second"), (3, "third")]
assert written == [(1, "third")]
PYTHON
timeout 60 venv/bin/python seen.py
