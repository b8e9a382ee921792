#!/bin/sh
# sqlite3 of Python 3.11.7, 3.12.1 and 3.13.0, with Debian 12's SQLite 3.40.1 (on Linux)
#
# Expected: to bind a value costs its memory once, or once more: the bytes object is there, and
#   does not change.
# Instead: at the peak an INSERT takes twice the blob's size in addition. The module has SQLite copy
#   what is bound, and SQLite puts the row together in one piece before it writes it.
#   `zeroblob(size)` and then `Connection.blobopen` writes the same row with next to nothing.
# Matters: for uploads or snapshots that are kept in SQLite, what is 20 MiB on disk needs 60 MiB in
#   the process, for each that writes at the same time.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"

cat > write.py <<'PYTHON'
import re
import sqlite3
import sys

SIZE = 20 * 2**20
data = b"x" * SIZE
connection = sqlite3.connect(f"{sys.argv[1]}.db")
connection.execute("CREATE TABLE files (id INTEGER PRIMARY KEY, content BLOB)")
connection.execute("INSERT INTO files (content) VALUES (zeroblob(10))")
connection.commit()


def peak():
    """The most memory that this process has had, in bytes."""
    with open("/proc/self/status") as status:
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read())[1]) * 1024


before = peak()
if sys.argv[1] == "bound":
    connection.execute("INSERT INTO files (content) VALUES (?)", (data,))
else:
    made = connection.execute("INSERT INTO files (content) VALUES (zeroblob(?))", (SIZE,))
    with connection.blobopen("files", "content", made.lastrowid) as blob:
        blob.write(data)
connection.commit()
print((peak() - before) / SIZE)
PYTHON

cat > seen.py <<'PYTHON'
import sqlite3
import subprocess
import sys


def write(way):
    """How often its own size the blob took, and whether it is all there."""
    output = subprocess.check_output([sys.executable, "write.py", way], text=True, timeout=30)
    connection = sqlite3.connect(f"{way}.db")
    [content] = connection.execute("SELECT content FROM files WHERE id = 2").fetchone()
    return float(output), content == b"x" * (20 * 2**20)


print(f"Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}, 20 MiB")
bound, bound_whole = write("bound")
opened, opened_whole = write("opened")
print(f"bound: {bound:.2f} times its size more at the peak, whole: {bound_whole}")
print(f"zeroblob and blobopen: {opened:.2f} times, whole: {opened_whole}")
assert bound_whole and opened_whole
assert 1.8 < bound < 2.5
assert opened < 0.5
PYTHON
timeout 60 python3 seen.py
