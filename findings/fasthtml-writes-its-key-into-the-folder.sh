#!/bin/sh
# python-fasthtml 0.14.14
#
# Expected: making an application object leaves the disk alone; without a `secret_key` there are no
#   sessions, or their key lasts as long as the process.
# Instead: `FastHTML()` writes the key that signs the session cookies into the file .sesskey of the
#   current folder, whether sessions are used or not, readable by whom the umask lets (everybody,
#   commonly). From another folder the same program has another key.
# Matters: `git add .` and `COPY . .` take the secret along, into the repository or the image. An
#   import in a test leaves a file behind. Started from another folder, or in two containers, the
#   sessions of the one are none to the other.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile python-fasthtml==0.14.14

cat > seen.py <<'PYTHON'
import os
import pathlib
import subprocess
import sys


def make(name, arguments=""):
    """What a program leaves in its folder that makes an application object, and does no more."""
    folder = pathlib.Path(name)
    folder.mkdir(exist_ok=True)
    program = f"from fasthtml.common import FastHTML\nFastHTML({arguments})"
    subprocess.run([sys.executable, "-c", program], cwd=folder, check=True, timeout=60)
    return {path.name: path.read_text() for path in folder.iterdir()}


os.umask(0o022)
first, again, other = make("first"), make("first"), make("other")
given = make("given", "secret_key='one of ours'")
mode = pathlib.Path("first", ".sesskey").stat().st_mode & 0o777
print(f"FastHTML(): {list(first)} with mode {mode:o} and {len(first['.sesskey'])} characters")
print(f"again: the same key is {again == first}; in another folder: {other == first}")
print(f"FastHTML(secret_key=...): {list(given)}")
assert list(first) == list(other) == [".sesskey"]
assert mode == 0o644
assert again == first != other
assert given == {}
PYTHON
timeout 120 venv/bin/python seen.py
