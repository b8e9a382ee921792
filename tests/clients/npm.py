"""The npm packages of `package.json`, installed beside it; the folder is none that git keeps."""

import fcntl
import filecmp
import shutil
from pathlib import Path

import trio

from tests.support.need import need, unavailable

FOLDER = Path(__file__).parent
LOCK = FOLDER / "package-lock.json"
#: What has been installed there, so that it is done once for each state of the lock file.
DONE = FOLDER / "node_modules" / "installed.json"

_SECONDS = 300


async def node() -> str:
    """The path of node, the packages at hand; else the test is skipped, in CI it fails."""
    path, npm = need("node", "npm")
    with LOCK.open() as lock:
        # Tests run in several processes.
        await trio.to_thread.run_sync(fcntl.flock, lock, fcntl.LOCK_EX)
        if not DONE.exists() or not filecmp.cmp(LOCK, DONE, shallow=False):
            await _install(npm)
    return path


async def _install(npm: str) -> None:
    command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    with trio.move_on_after(_SECONDS) as patience:
        result = await trio.run_process(
            command, cwd=FOLDER, check=False, capture_stdout=True, capture_stderr=True
        )
    if patience.cancelled_caught or result.returncode:
        unavailable("npm could not install the packages of tests/clients/package.json")
    shutil.copyfile(LOCK, DONE)
