"""Programs that pip can't install: without them a test is skipped, saying so; in CI it fails."""

import os
import shutil
from typing import NoReturn

import pytest

# Where Debian's package has another name than the program.
PACKAGES = {
    "cc": "gcc",
    "chromedriver": "chromium-driver",
    "ip": "iproute2",
    "go": "golang-go",
    "node": "nodejs",
}

# iptables and ip live where the PATH of a user who isn't root may not look.
SEARCH_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def need(*programs: str) -> list[str]:
    """Return the paths of these programs, or skip (in CI: fail) the running test."""
    paths = {program: shutil.which(program, path=SEARCH_PATH) for program in programs}
    missing = [PACKAGES.get(program, program) for program, path in paths.items() if path is None]
    if missing:
        unavailable(f"not installed: {', '.join(missing)}")
    return [path for path in paths.values() if path is not None]


def unavailable(reason: str) -> NoReturn:
    """Skip the running test; in CI fail it, since a skipped test proves nothing there."""
    if in_ci():
        pytest.fail(f"{reason} (CI is set, so that this is a failure and no skip)", pytrace=False)
    pytest.skip(reason)


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() not in ("", "0", "false")
