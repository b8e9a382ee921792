"""A program that a test starts: a log to look at, a limit on every wait, and nobody left behind.

These are real processes: their tests run on the real clock, never on `autojump_clock`.
"""

import atexit
import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import trio

PROJECT = Path(__file__).parents[2]

_started: set[int] = set()  # process groups that have not been seen to end


@atexit.register
def _kill_what_a_crashed_run_left() -> None:
    for group in _started:
        _kill_group(group)


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _is_alive(group: int) -> bool:
    """Whether a process of this group runs (Linux). A zombie does not: it waits for its parent."""
    # A list, because a search that is left halfway warns of its folder (ResourceWarning).
    for status in list(Path("/proc").glob("[0-9]*/stat")):
        with contextlib.suppress(OSError):  # that one ended just now
            state, _, its_group = status.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                return True
    return False


class Process:
    """One started program, the leader of a process group of its own."""

    def __init__(self, process: trio.Process, logfile: Path) -> None:
        self._process = process
        self._logfile = logfile
        self._last_log: str | None = None

    @classmethod
    async def start(
        cls, command: Sequence[str | Path], logfile: Path, *, env: Mapping[str, str] | None = None
    ) -> "Process":
        """Start `command` in the project's folder; both its outputs are appended to `logfile`."""
        with logfile.open("ab") as log:
            process = await trio.lowlevel.open_process(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=PROJECT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        _started.add(process.pid)
        return cls(process, logfile)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, minus the signal's number when one ended it, or None while it runs."""
        return self._process.poll()

    def log(self) -> str:
        """All it has written so far; after `kill`, all it ever wrote, even without the file."""
        if self._last_log is not None:
            return self._last_log
        return self._logfile.read_text(errors="replace")

    async def wait_for_log(self, pattern: str, *, count: int = 1, within: float = 60) -> list[str]:
        """Wait until `pattern` (a regular expression) is `count` times in the log; all matches."""
        deadline = time.monotonic() + within
        while True:
            has_ended = self.returncode is not None  # before its last words are read
            if len(found := re.findall(pattern, self.log())) >= count:
                return found
            assert not has_ended, f"exited with {self.returncode}:\n{self.log()}"
            assert time.monotonic() < deadline, f"no {pattern!r} in {within} s:\n{self.log()}"
            await trio.sleep(0.02)

    def send_signal(self, signum: signal.Signals) -> None:
        """Send a signal to the program itself (what it started hears nothing of it)."""
        self._process.send_signal(signum)

    def send_signal_to_group(self, signum: signal.Signals) -> None:
        """Send a signal to the program and all that it started, as supervisors and shells do."""
        os.killpg(self.pid, signum)

    def pause(self) -> None:
        """Stop the whole process group, like a machine that hangs; `resume` ends that."""
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.killpg(self.pid, signal.SIGCONT)

    async def wait(self, *, within: float) -> int:
        """Wait until it has exited, and all that it started too; the exit code."""
        with trio.move_on_after(within):
            await self._process.wait()
            while _is_alive(self.pid):
                await trio.sleep(0.02)
            _started.discard(self.pid)
        assert self.returncode is not None, f"still running after {within} s:\n{self.log()}"
        assert self.pid not in _started, f"its children outlived it by {within} s:\n{self.log()}"
        return self.returncode

    async def stop(self, signum: signal.Signals = signal.SIGTERM, *, within: float = 60) -> int:
        """Send a signal and wait for the end; the exit code. Also after it has exited."""
        if self.returncode is None:
            self.send_signal(signum)
        return await self.wait(within=within)

    async def kill(self) -> None:
        """End it and what it started, as a crash or a power cut would."""
        _kill_group(self.pid)
        with trio.CancelScope(shield=True):
            await self.wait(within=60)
        self._last_log = self.log()
