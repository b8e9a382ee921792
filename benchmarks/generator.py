"""Runs the compiled load generator for one scenario and tells when its window begins and ends."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.scenarios import STREAMS_PER_CONNECTION, Scenario
from benchmarks.server import RunError


@dataclass(frozen=True)
class Pace:
    """Seconds of load before the window, and of the window."""

    warmup: float
    seconds: float


def _command(program: Path, scenario: Scenario, accepts: str, port: int, pace: Pace) -> list[str]:
    command = [str(program), "--port", str(port), "--path", scenario.path]
    command += ["--connections", str(scenario.connections)]
    command += ["--warmup", str(pace.warmup), "--seconds", str(pace.seconds)]
    command += ["--accept-encoding", accepts]
    if scenario.connect_rate:
        command += ["--connect-rate", str(scenario.connect_rate)]
    if scenario.numbered:
        command.append("--numbered")
    if scenario.at_once:
        command += ["--first-event", "--max-pending", str(scenario.connections)]
    if scenario.wire != "clear":
        command.append("--tls")
    if scenario.wire == "http2":
        command += ["--http2", str(STREAMS_PER_CONNECTION)]
    return [*command, "--latency"] if scenario.latency else command


def run(
    program: Path,
    scenario: Scenario,
    accepts: str,
    port: int,
    pace: Pace,
    on_phase: Callable[[str], None],
) -> dict[str, Any]:
    """Gives what the generator counted, which accepts the content coding ``accepts``.

    `on_phase` hears "connected", "start" and "end" in time.
    """
    with subprocess.Popen(
        _command(program, scenario, accepts, port, pace),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            on_phase(line.strip())
            if line.strip() == "end":
                process.stdin.close()  # only now may it close its connections
                break
        report = process.stdout.read()
        complaint = process.stderr.read().strip()
    if process.returncode:
        raise RunError(complaint or f"the load generator ended with {process.returncode}")
    counted: dict[str, Any] = json.loads(report)
    return counted
