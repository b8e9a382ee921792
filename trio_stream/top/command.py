"""What ``trio-stream top`` asks of the command line."""

from __future__ import annotations

import argparse
from typing import Any, get_args

from ..client.terminal.arguments import add_address, read_count
from ..inspector.view import Sort
from .run import Options, run

__all__ = ["add_top"]


def add_top(top: argparse.ArgumentParser) -> None:
    """Make this the parser of the command."""
    top.set_defaults(command=_top)
    top.description = (
        "Show the open streams of a service that has an inspector, about once a second, as its "
        "page does. In a terminal the screen is written anew each time. Ctrl-C ends it."
    )
    add = top.add_argument
    add_address(add, "where the inspector is")
    add("--find", metavar="TEXT", default="", help="streams with this in path, client or principal")
    add(
        "--sort",
        choices=get_args(Sort),
        default="newest",
        help="which streams come first (default: newest)",
    )
    add(
        "--rows",
        type=read_count,
        metavar="N",
        help="how many streams to show (default: as many as there is room for, or 50)",
    )
    add(
        "-n",
        "--count",
        type=read_count,
        metavar="N",
        help="end after this many pictures, or as the first attempt fails",
    )
    add(
        "--json",
        dest="view",
        action="store_const",
        const="json",
        default="screen",
        help="each picture as one JSON object on a line, for other programs",
    )


def _top(options: dict[str, Any]) -> int:
    options["headers"] = dict(options["headers"])
    return run(Options(**options))
