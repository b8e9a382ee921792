"""What mypy and pyright make of the package as users see it.

Each is run once, over all of it: what must be accepted, what must be refused, the examples, and the
code in the pages of docs/.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.docs.snippets import SNIPPETS, write_modules
from tests.support.need import unavailable

PROJECT = Path(__file__).parents[2]
HERE = Path(__file__).parent

pytestmark = pytest.mark.timeout(600)  # half a minute of processor time, without a cache

#: A file, and a line in it.
Place = tuple[str, int]


def run(*command: str | Path, folder: Path = PROJECT) -> str:
    result = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        cwd=folder,
        # Where `--verifytypes` looks for packages, whatever --pythonpath says.
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode in (0, 1), result.stdout + result.stderr
    return result.stdout


def pyright(*arguments: str | Path, folder: Path = PROJECT) -> dict[str, Any]:
    """What it reports. Its package gets the program itself from npm, once for each user."""
    options = ["--outputjson", "--pythonpath", sys.executable]
    found = run("pyright", *options, *arguments, folder=folder)
    if not found.startswith("{"):
        unavailable(f"pyright could not be had: {found[-200:]}")
    report: dict[str, Any] = json.loads(found)
    return report


def refused_lines() -> set[Place]:
    path = HERE / "refused.py"
    lines = path.read_text().splitlines()
    marked = {(path.name, n) for n, line in enumerate(lines, 1) if line.endswith("  # refused")}
    assert len(marked) > 20
    return marked


def judge(complaints: Sequence[tuple[str, int, str]]) -> None:
    """Nothing but what is marked is complained of, and all that is marked."""
    unexpected = [what for what in complaints if what[:2] not in refused_lines()]
    assert unexpected == []
    assert refused_lines() - {(name, line) for name, line, _ in complaints} == set()


def test_mypy(tmp_path: Path) -> None:
    assert len(SNIPPETS) > 20
    write_modules(tmp_path)
    found = run(
        *("mypy", "--config-file=", "--cache-dir", PROJECT / ".mypy_cache/pages"),
        *("--check-untyped-defs", "--no-error-summary", "--hide-error-context"),
        *(HERE / "accepted.py", HERE / "refused.py", *sorted(tmp_path.glob("*.py"))),
    )
    errors = re.findall(r"([^/\n]+\.py):(\d+): error: (.*)", found)
    judge([(name, int(line), text) for name, line, text in errors])


def test_pyright(tmp_path: Path) -> None:
    write_modules(tmp_path)
    ours = [HERE / "accepted.py", HERE / "refused.py", PROJECT / "examples"]
    report = pyright(*ours, tmp_path, folder=tmp_path)  # where programs find each other
    assert report["summary"]["filesAnalyzed"] > len(SNIPPETS) / 2
    judge(
        [
            (Path(each["file"]).name, each["range"]["start"]["line"] + 1, each["message"])
            for each in report["generalDiagnostics"]
            if each["severity"] == "error"
        ]
    )


def test_the_type_of_every_public_name_is_known() -> None:
    """Also of what only looks public, as pyright counts every module without an underscore."""
    completeness = pyright("--verifytypes", "trio_stream", "--ignoreexternal")["typeCompleteness"]
    unknown = [
        (symbol["name"], [each["message"] for each in symbol["diagnostics"]])
        for symbol in completeness["symbols"]
        if symbol["isExported"] and (not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"])
    ]
    assert unknown == []
    assert completeness["exportedSymbolCounts"]["withKnownType"] > 1500
