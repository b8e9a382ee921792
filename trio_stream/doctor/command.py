"""What ``trio-stream doctor`` asks of the command line."""

from __future__ import annotations

import argparse
from typing import Any

from ..client.terminal.arguments import (
    add_request,
    add_verbose,
    read_request,
    read_seconds,
    read_url,
)
from .examine import Options
from .run import run

__all__ = ["add_doctor"]


def add_doctor(doctor: argparse.ArgumentParser) -> None:
    """Make this the parser of the command."""
    doctor.set_defaults(command=_doctor)
    doctor.description = (
        "Say what is wrong with an event stream, between here and there, and what to do. It asks "
        "as a browser does, listens, and asks again where that tells more: without compression, "
        "and from an id of an event. A POST is sent once. The exit code is 1 if something is wrong."
    )
    add = doctor.add_argument
    add_request(add)
    add(
        "--seconds",
        type=read_seconds,
        default=20.0,
        metavar="SECONDS",
        help="how long to listen (default: 20, in which pings are seen)",
    )
    add(
        "--beside",
        type=read_url,
        metavar="URL",
        help="another address of the same stream, such as the server's behind the proxy: how "
        "much later does each event come?",
    )
    add(
        "--json",
        dest="view",
        action="store_const",
        const="json",
        default="screen",
        help="one JSON object, with all times, for other programs",
    )
    add_verbose(add)


def _doctor(options: dict[str, Any]) -> int:
    read_request(options)
    return run(Options(**options))
