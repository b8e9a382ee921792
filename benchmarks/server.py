"""A server process: started on its own core, waited for, and ended."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from benchmarks.build import HERE
from benchmarks.client import connection
from benchmarks.peers import Command, Peer, Place
from benchmarks.scenarios import Kind, Scenario

EVENT_SOURCE = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
START_SECONDS = 60.0
STOP_SECONDS = 2.0


class RunError(Exception):
    """This run gave no figures; the message says why."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int, *, encrypted: bool) -> bool:
    """Whether the server begins a stream, a silent one: then its lazy imports are done, too."""
    asked = connection(port, encrypted=encrypted)
    try:
        asked.request("GET", "/idle", headers=EVENT_SOURCE)
        return asked.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        asked.close()


def _await_answer(process: subprocess.Popen[bytes], place: Place, log: IO[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(place.port, encrypted=place.is_encrypted):
        if process.poll() is not None or time.monotonic() > deadline:
            log.seek(0)
            tail = log.read().decode(errors="replace").strip()[-600:]
            raise RunError(f"the server gave no stream; its last words:\n{tail}")
        time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the process; what is left of its own group after that is killed."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


@contextmanager
def _publisher(place: Place, kind: Kind, environment: dict[str, str]) -> Iterator[None]:
    command = [sys.executable, "-m", "benchmarks.publish", str(place.port), place.wire]
    if kind in {"topic-flood", "topic-json"}:
        command.append(kind.removeprefix("topic-"))
    process = subprocess.Popen(command, cwd=HERE.parent, env=environment, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def running(
    peer: Peer, command: Command, core: int, scenario: Scenario
) -> Iterator[tuple[int, int]]:
    """Yields the port and the process group of a server pinned to a core, children included."""
    port = free_port()
    environment = {**os.environ, **peer.environment, "INTERVAL": str(scenario.interval)}
    with tempfile.TemporaryDirectory() as directory, tempfile.TemporaryFile() as log:
        Path(directory).chmod(0o755)  # nginx's worker is another user when its master is root
        place = Place(port, scenario.wire, Path(directory))
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command(place)],
            cwd=HERE.parent,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            _await_answer(process, place, log)
            if peer.publisher:
                with _publisher(place, scenario.kind, environment):
                    yield port, process.pid
            else:
                yield port, process.pid
        finally:
            _stop(process)
