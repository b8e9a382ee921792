#!/bin/sh
# pyright 1.1.414 (from npm; h11 0.16.0 and 0.14.0 as packages to look at)
#
# Expected: `pyright --pythonpath there/bin/python --verifytypes h11` judges the h11 of that Python,
#   as `pyright --pythonpath there/bin/python file.py` resolves `import h11` to it.
# Instead: with --verifytypes the option is accepted and ignored. What is judged is the h11 of the
#   Python that comes first in PATH; where that has none, "No py.typed file found" and a score of
#   0 %, as for a package that does not exist.
# Matters: a check of a library's types that is started from another environment (tox, a pre-commit
#   hook, a venv per tool) judges another version, and is green or red for nothing that changed. To
#   put that Python first in PATH is the cure.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
for name in here there empty; do
    python3 -m venv "$name"
done
here/bin/pip --disable-pip-version-check install -q --no-compile h11==0.14.0
there/bin/pip --disable-pip-version-check install -q --no-compile h11==0.16.0
npm install --silent --no-save --no-audit --no-fund pyright@1.1.414
printf 'import h11\n' > uses.py

cat > seen.py <<'PYTHON'
import json
import os
import subprocess
from pathlib import Path

THERE = ("--pythonpath", "there/bin/python")


def pyright(first_in_path, *arguments):
    folder = Path(first_in_path, "bin").absolute()
    result = subprocess.run(
        ["node_modules/.bin/pyright", "--outputjson", *THERE, *arguments],
        env=os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        check=False,
    )
    return json.loads(result.stdout)


def judged(first_in_path):
    """Whose h11 was looked at, its score, and the errors that are not about a symbol."""
    report = pyright(first_in_path, "--verifytypes", "h11", "--ignoreexternal")
    found = report["typeCompleteness"]
    folder = found["packageRootDirectory"]
    errors = [each["message"] for each in report["generalDiagnostics"] if not each["file"]]
    whose = Path(folder).resolve().relative_to(Path.cwd().resolve()).parts[0] if folder else None
    return whose, found["completenessScore"] > 0, errors


for name in ("here", "empty", "there"):
    resolved = pyright(name, "uses.py")["summary"]["errorCount"] == 0
    print(f"{name} first in PATH: import resolved: {resolved}, --verifytypes: {judged(name)}")
    assert resolved
assert judged("here") == ("here", True, [])
assert judged("empty") == (None, False, ["No py.typed file found"])
assert judged("there") == ("there", True, [])
PYTHON
timeout 200 python3 seen.py
