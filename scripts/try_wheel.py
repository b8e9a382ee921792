"""Install a wheel into empty environments and use it there: try_wheel.py WHEEL

One environment for each extra that users install, and one without, on each Python that is found.
What developers install besides (`test`, `bench`, `docs`) comes with their own commands.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from email.parser import HeaderParser
from itertools import product
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from zipfile import ZipFile

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
DEVELOPERS = {"test", "bench", "docs"}

#: In each environment, in an empty folder: a stream over a socket, and the command that shows it.
TRIAL = """
import subprocess, sys
import trio
import trio_stream

@trio_stream.stream_app
async def app(stream):
    await stream.send({"n": 1}, event="count", id=1)

async def main():
    async with trio.open_nursery() as nursery:
        [url] = await nursery.start(lambda task_status: trio_stream.serve(
            app, bind="127.0.0.1:0", task_status=task_status))
        command = [sys.argv[1], "tail", "--json", "-n1", url]
        shown = await trio.run_process(command, capture_stdout=True, capture_stderr=True)
        assert shown.stdout == b'{"event":"count","id":"1","data":"{\\\\"n\\\\":1}"}\\n', shown
        nursery.cancel_scope.cancel()

trio.run(main)
assert trio_stream.__file__.startswith(sys.prefix)
import warnings
warnings.simplefilter("default")  # what an extra brings may deprecate what it likes
"""

#: What each extra is for, in one line.
USES = {
    # Its files that are no modules are there.
    "": "from trio_stream.inspector.page import page_with\npage_with('')",
    # trio-asyncio does not know Python 3.14.
    "asyncio": "import sys\nif sys.version_info < (3, 14): import trio_asyncio",
    "brotli": "import brotli",
    "cli": "import rich",
    "examples": "from trio_stream.frameworks.starlette import StreamResponse",
    # Whose libpq is the system's.
    "postgres": "from importlib.util import find_spec\nassert find_spec('psycopg')",
    "otel": "from trio_stream.otel import instrument\ninstrument()",
    "prometheus": "from trio_stream.prometheus import metrics_app\nmetrics_app()",
    "redis": "import trio_stream.broker.redis.engine",
    "zstd": "from trio_stream.codec.compressor import open_compressor\nopen_compressor('zstd')",
}


def main(wheel: Path) -> int:
    """Try each; how many failed."""
    with ZipFile(wheel) as file:
        [name] = [name for name in file.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = HeaderParser().parsestr(file.read(name).decode())
    extras = {"", *metadata.get_all("Provides-Extra", [])} - DEVELOPERS
    if unknown := extras - USES.keys():
        sys.exit(f"what are these extras for? {unknown}")
    chosen = list(product(pythons(), sorted(extras)))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done = list(pool.map(lambda each: attempt(wheel, *each), chosen))
    print(f"{done.count(True)} passed, {done.count(False)} failed")
    return done.count(False)


def pythons() -> list[str]:
    """The newest of each version that there is."""
    if named := os.environ.get("PYTHONS"):
        return named.split()
    found = [sys.executable]
    for version in VERSIONS:
        kept = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
        candidates = [which(f"python{version}"), *map(str, kept)]
        here = [path for path in candidates if path and version_of(path) == version]
        if here and version != version_of(sys.executable):
            found.append(here[-1])
        elif not here and version != version_of(sys.executable):
            print(f"Python {version}: not found here, not tried")
    return found


def version_of(python: str) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip()


def attempt(wheel: Path, python: str, extra: str) -> bool:
    """Whether the wheel installs into an empty environment, and works there."""
    requirement = f"{wheel}[{extra}]" if extra else str(wheel)
    with TemporaryDirectory() as folder:
        said = failure(Path(folder), python, requirement, USES[extra])
    what = f"Python {version_of(python)}, {f'with {extra}' if extra else 'bare'}"
    print(f"{what}: {'works' if said is None else f'FAILED: {said}'}", flush=True)
    return said is None


def failure(folder: Path, python: str, requirement: str, use: str) -> str | None:
    """What went wrong, in an environment and an empty folder inside this one."""
    environment, empty = folder / "environment", folder / "empty"
    empty.mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    pip = [sys.executable, "-m", "pip", "--python", str(environment)]
    bin = environment / "bin"
    steps = [
        [python, "-m", "venv", "--without-pip", str(environment)],
        [*pip, "install", "--quiet", "--disable-pip-version-check", "--no-compile", requirement],
        [str(bin / "python"), "-W", "error", "-c", TRIAL + use, str(bin / "trio-stream")],
    ]
    for step in steps:
        done = subprocess.run(step, cwd=empty, env=clean, capture_output=True, text=True)
        if done.returncode:
            return done.stdout + done.stderr
    return None


if __name__ == "__main__":
    sys.exit(min(1, main(Path(sys.argv[1]).resolve())))
