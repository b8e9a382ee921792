"""The command line: ``python -m trio_stream``, or ``trio-stream``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from .broker import publisher
from .broker.engines import needing
from .client.connecting.connector import IDLE_TIMEOUT
from .client.terminal.arguments import (
    add_request,
    add_verbose,
    read_count,
    read_request,
    read_seconds,
    read_size,
)
from .client.terminal.tail import ANSWER_TIMEOUT, Options, run
from .doctor import add_doctor
from .errors import TrioStreamError
from .top import add_top

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit code."""
    try:
        options = vars(_parser().parse_args(arguments))
        return int(options.pop("command")(options))
    except KeyboardInterrupt:
        return 130  # as a shell reports a program that Ctrl-C has ended
    except BrokenPipeError:
        # Whoever read what this writes has left, as `head` does. What Python would still flush at
        # its exit goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _tail(options: dict[str, Any]) -> int:
    options["names"] = frozenset(options["names"])
    read_request(options)
    return run(Options(**options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trio-stream", description="The streaming toolkit for Trio."
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_tail(commands.add_parser("tail", help="show an event stream as it comes"))
    add_doctor(commands.add_parser("doctor", help="say what is wrong with an event stream"))
    add_top(commands.add_parser("top", help="show the open streams of a service"))
    _add_publish(commands.add_parser("publish", help="publish an event to a broker's topic"))
    _add_migrate(commands.add_parser("migrate", help="make a PostgreSQL broker's tables"))
    return parser


def _publish(options: dict[str, Any]) -> int:
    data = options.pop("data")
    try:
        if data == "-":
            data = sys.stdin.buffer.read().decode()
        with publisher(options.pop("url"), **options.pop("engine")) as topics:
            sys.stdout.write(topics.publish(options.pop("topic"), data, **options) + "\n")
    except (TypeError, ValueError, ImportError, TrioStreamError) as exc:
        sys.stderr.write(f"trio-stream: {exc}\n")
        return 2 if isinstance(exc, TypeError | ValueError) else 1
    return 0


def _add_publish(publish: argparse.ArgumentParser) -> None:
    publish.set_defaults(command=_publish)
    publish.description = (
        "Publish an event to a topic of a broker that is, or will be, open elsewhere, and print "
        "its id. DATA is its text; - or nothing reads that from standard input."
    )
    add = publish.add_argument
    add("url", metavar="URL", help="sqlite:///path, postgresql://host/db, redis://host")
    add("topic", metavar="TOPIC", help="where to, such as orders/17")
    add("data", metavar="DATA", nargs="?", default="-", help="what it says (default: -)")
    add("-e", "--event", metavar="NAME", help="the event's name")
    add("--key", metavar="KEY", default="", help="of what it is the latest value")
    either = publish.add_mutually_exclusive_group().add_argument
    either("--once", metavar="KEY", help="append nothing if that was published with the same KEY")
    either("--no-keep", dest="keep", action="store_false", help="only to who is there now")
    add("--but", metavar="ID", help="not to the stream that has this id")
    add(
        "-o",
        "--option",
        dest="engine",
        action=_Option,
        default={},
        metavar="NAME=VALUE",
        help="an option of the broker's, such as prefix=shop or history=1000; may be given often",
    )


def _migrate(options: dict[str, Any]) -> int:
    try:
        with needing("postgresql", "migrate"):
            from .broker.postgres.migrate import migrate, schema_sql

        said = schema_sql() if options["sql"] else f"{migrate(options['url'] or '')}\n"
    except (ValueError, ImportError, TrioStreamError) as exc:
        sys.stderr.write(f"trio-stream: {exc}\n")
        return 2 if isinstance(exc, ValueError) else 1
    sys.stdout.write(said)
    return 0


def _add_migrate(migrate: argparse.ArgumentParser) -> None:
    migrate.set_defaults(command=_migrate)
    migrate.description = (
        "Make the tables and functions of a postgresql:// broker, in a schema of their own, or "
        "bring them to this version. What is there already stays as it is."
    )
    add = migrate.add_argument
    add("url", metavar="URL", nargs="?", help="postgresql://user@host/database, as their owner")
    add("--sql", action="store_true", help="print what makes them, and connect to nothing")


#: The options of engines that are texts, also where they look like numbers.
_TEXTS = frozenset({"outage", "prefix", "synchronous"})


class _Option(argparse.Action):
    """What all who publish have to say alike; a number where it looks like one, and is one."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        name, equals, value = str(values).partition("=")
        if not (equals and name.isidentifier()):
            raise argparse.ArgumentError(self, "an option is NAME=VALUE")
        given: object = value
        if name not in _TEXTS and value.isascii() and value.replace(".", "", 1).isdigit():
            given = float(value) if "." in value else int(value)
        setattr(namespace, self.dest, {**getattr(namespace, self.dest), name: given})


def _version() -> str:
    try:
        return f"trio-stream {version('trio-stream')}"
    except PackageNotFoundError:
        return "trio-stream, not installed"


def _add_tail(tail: argparse.ArgumentParser) -> None:
    tail.set_defaults(command=_tail)
    tail.description = (
        "Show an event stream as it comes. It reconnects like a browser: from the last id, after "
        "as long as the server asks for. Ctrl-C ends it. Events go to standard output, what "
        "happens to the connection goes to standard error."
    )
    add_request(tail.add_argument)
    _add_manner(tail.add_argument)
    _add_view(tail.add_argument)


def _add_manner(add: Callable[..., object]) -> None:
    add("-i", "--last-event-id", metavar="ID", help="begin after the event with this id")
    add(
        "-n",
        "--count",
        type=read_count,
        metavar="N",
        help="end after this many events, or as the first attempt fails",
    )
    add(
        "--reconnect",
        action=argparse.BooleanOptionalAction,
        help="whether to reconnect when the stream ends (default: only a GET does)",
    )
    add(
        "--idle-timeout",
        type=read_seconds,
        default=IDLE_TIMEOUT,
        metavar="SECONDS",
        help="reconnect when no byte has come for this long (default: %(default)g)",
    )
    add(
        "--answer-timeout",
        type=read_seconds,
        default=ANSWER_TIMEOUT,
        metavar="SECONDS",
        help="how long the server may take to answer (default: %(default)g)",
    )
    add(
        "--read-as",
        choices=("strict", "auto", "sse", "json", "lines", "text"),
        default="strict",
        help="what to take the answer for, whatever it says that it is (default: strict, which "
        "takes event streams alone; auto goes by its type and its first bytes)",
    )
    add(
        "--max-event-size",
        dest="max_event_bytes",
        type=read_size,
        default=32 * 2**20,
        metavar="SIZE",
        help="bytes, or 64K, 64M; a larger event is left out (default: 32M)",
    )


def _add_view(add: Callable[..., object]) -> None:
    add(
        "--event",
        dest="names",
        action="append",
        default=[],
        metavar="NAME",
        help="show events of this name alone; may be given many times",
    )
    add(
        "--json",
        dest="view",
        action="store_const",
        const="json",
        default="screen",
        help="one JSON object a line, with name, id and data, for other programs",
    )
    add(
        "--ndjson",
        dest="view",
        action="store_const",
        const="ndjson",
        help="the data alone, one JSON value a line; what is no JSON as a string",
    )
    add_verbose(add)
    add("--comments", action="store_true", help="show comments too")


if __name__ == "__main__":
    sys.exit(main())
