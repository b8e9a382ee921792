"""CPU time and memory of a process group, as the kernel accounts for them (Linux).

A server is started as the leader of its own process group, so its workers and helpers count too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Sample:
    """One reading. Times are seconds, `rss` is bytes."""

    at: float
    cpu: float
    core: float  # busy time of the server's core, whoever used it
    rss: int


def members(group: int) -> list[int]:
    """The process ids of a process group, now."""
    pids = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if _stat(pid)[2:3] == [str(group)]]


def sample(pids: Sequence[int], core: int) -> Sample:
    return Sample(
        at=time.monotonic(),
        cpu=sum(_cpu_seconds(pid) for pid in pids),
        core=_core_seconds(core),
        rss=sum(_rss_bytes(pid) for pid in pids),
    )


def _read(path: Path) -> str:
    """A file of a process that may have ended: then nothing."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the command's name, which may hold spaces itself."""
    return _read(PROC / str(pid) / "stat").rpartition(")")[2].split()


def _cpu_seconds(pid: int) -> float:
    """User and system time. `schedstat` counts it in nanoseconds, `stat` in ticks of 10 ms.

    A thread that ends takes its `schedstat` with it; no server here ends threads under load.
    """
    threads = (PROC / str(pid) / "task").glob("*/schedstat")
    counters = [_read(thread).split() for thread in threads]
    if any(counters):
        return sum(int(counter[0]) for counter in counters if counter) / 1e9
    utime_stime = _stat(pid)[11:13]
    return sum(map(int, utime_stime)) / TICKS_PER_SECOND


def _core_seconds(core: int) -> float:
    for line in (PROC / "stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            # idle and iowait left out, and the two guest columns, which user holds already
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, ticks[:8])
            return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND
    return 0.0


def _rss_bytes(pid: int) -> int:
    fields = _read(PROC / str(pid) / "statm").split()
    return int(fields[1]) * PAGE_BYTES if fields else 0
