"""The command line: ``python -m trio_stream``, or ``trio-stream``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .broker import publisher
from .checks import MAX_SECONDS
from .client.tail import Options, run
from .client.wiretap import is_local
from .errors import TrioStreamError

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
    content = options["content"]
    options["method"] = options["method"] or ("GET" if content is None else "POST")
    options["headers"] = dict(options["headers"])
    if content is not None and "content-type" not in map(str.lower, options["headers"]):
        options["headers"]["content-type"] = _content_type(content)
    return run(Options(**options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trio-stream", description="The streaming toolkit for Trio."
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_tail(commands.add_parser("tail", help="show an event stream as it comes"))
    _add_publish(commands.add_parser("publish", help="publish an event to a broker's topic"))
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
    add("url", metavar="URL", help="sqlite:///path, or redis://host and the like")
    add("topic", metavar="TOPIC", help="where to, such as orders/17")
    add("data", metavar="DATA", nargs="?", default="-", help="what it says (default: -)")
    add("-e", "--event", metavar="NAME", help="the event's name")
    add("--key", metavar="KEY", default="", help="of what it is the latest value")
    add("--once", metavar="KEY", help="append nothing if that was published with the same KEY")
    add("--no-keep", dest="keep", action="store_false", help="only to who is there now")
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


class _Option(argparse.Action):
    """What all who publish have to say alike; a number where it looks like one."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        name, equals, value = str(values).partition("=")
        if not (equals and name.isidentifier()):
            raise argparse.ArgumentError(self, "an option is NAME=VALUE")
        given: object = value
        if value.isascii() and value.replace(".", "", 1).isdigit():
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
    _add_request(tail.add_argument)
    _add_manner(tail.add_argument)
    _add_view(tail.add_argument)


def _add_request(add: Callable[..., object]) -> None:
    add(
        "url",
        metavar="URL",
        type=_url,
        help="where the stream is, user:password@ included; without a scheme it is https, "
        "or http if the host is this machine",
    )
    add(
        "-H",
        "--header",
        dest="headers",
        action="append",
        default=[],
        type=_header,
        metavar="NAME:VALUE",
        help="a request header; may be given many times",
    )
    add(
        "-d",
        "--data",
        dest="content",
        type=_data,
        metavar="DATA",
        help="the request's body, and a POST; @FILE reads a file, @- standard input",
    )
    add("-X", "--method", metavar="METHOD", help="the request's method")
    add("-k", "--insecure", dest="verify", action="store_false", help="take any certificate")


def _add_manner(add: Callable[..., object]) -> None:
    add("-i", "--last-event-id", metavar="ID", help="begin after the event with this id")
    add("-n", "--count", type=_count, metavar="N", help="end after this many events")
    add(
        "--reconnect",
        action=argparse.BooleanOptionalAction,
        help="whether to reconnect when the stream ends (default: only a GET does)",
    )
    add(
        "--idle-timeout",
        type=_seconds,
        default=300.0,
        metavar="SECONDS",
        help="reconnect when no byte has come for this long (default: 300)",
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
        type=_size,
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
    add(
        "-v",
        "--verbose",
        action="store_true",
        help="tell of each request and its answer, without what is secret in them",
    )
    add("--comments", action="store_true", help="show comments too")


def _url(text: str) -> str:
    if "://" in text:
        return text
    host = urlsplit(f"//{text}").netloc.rpartition("@")[2]
    name = host.partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return f"http://{text}" if is_local(name) else f"https://{text}"


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not (colon and name.strip()):
        # What it is instead may be the token that was to be its value.
        raise argparse.ArgumentTypeError("a header is NAME:VALUE")
    return name.strip(), value.strip()


def _data(text: str) -> str | bytes:
    if not text.startswith("@"):
        return text
    try:
        return sys.stdin.buffer.read() if text == "@-" else Path(text[1:]).read_bytes()
    except OSError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of events, 1 or more")
    return int(text)


def _size(text: str) -> int:
    digits, unit = (text[:-1], text[-1:].upper()) if text[-1:].isalpha() else (text, "")
    factor = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}.get(unit, 0)
    if not (digits.isascii() and digits.isdigit() and int(digits[:12]) * factor):
        raise argparse.ArgumentTypeError(f"{text!r} is no size, such as 4096, 64K or 64M")
    return int(digits[:12]) * factor


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of seconds above 0, up to {MAX_SECONDS}"
        )
    return seconds


def _content_type(content: str | bytes) -> str:
    """What a body is, when nobody says: JSON if it can be, else what a form would send."""
    try:
        json.loads(content)
    except ValueError:
        return "application/x-www-form-urlencoded"
    return "application/json"


if __name__ == "__main__":
    sys.exit(main())
