"""What the commands ask of the command line alike: a request, and numbers with their units."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ...checks import MAX_SECONDS
from .wiretap import is_local

__all__ = [
    "add_address",
    "add_request",
    "add_verbose",
    "read_count",
    "read_request",
    "read_seconds",
    "read_size",
    "read_url",
]


def add_address(add: Callable[..., object], what: str) -> None:
    """Ask for an address, with what is needed to get there."""
    add(
        "url",
        metavar="URL",
        type=read_url,
        help=f"{what}, user:password@ included; without a scheme it is https, "
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
    add("-k", "--insecure", dest="verify", action="store_false", help="take any certificate")


def add_request(add: Callable[..., object]) -> None:
    """Ask for a request: where it goes, and what is in it."""
    add_address(add, "where the stream is")
    add(
        "-d",
        "--data",
        dest="content",
        type=_data,
        metavar="DATA",
        help="the request's body, and a POST; @FILE reads a file, @- standard input",
    )
    add("-X", "--method", metavar="METHOD", help="the request's method")


def add_verbose(add: Callable[..., object]) -> None:
    """Ask whether to tell what `Wiretap` sees."""
    add(
        "-v",
        "--verbose",
        action="store_true",
        help="tell of each request and its answer, without what is secret in them",
    )


def read_request(options: dict[str, Any]) -> None:
    """Make of what was said a ``method`` and ``headers``, in place."""
    content = options["content"]
    options["method"] = options["method"] or ("GET" if content is None else "POST")
    options["headers"] = dict(options["headers"])
    if content is not None and "content-type" not in map(str.lower, options["headers"]):
        options["headers"]["content-type"] = _content_type(content)


def read_url(text: str) -> str:
    """A URL as it is meant where its scheme is left out."""
    if "://" in text:
        return text
    host = urlsplit(f"//{text}").netloc.rpartition("@")[2]
    name = host.partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return f"http://{text}" if is_local(name) else f"https://{text}"


def read_count(text: str) -> int:
    """A number of events."""
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of events, 1 or more")
    return int(text)


def read_size(text: str) -> int:
    """A number of bytes."""
    digits, unit = (text[:-1], text[-1:].upper()) if text[-1:].isalpha() else (text, "")
    factor = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}.get(unit, 0)
    if not (digits.isascii() and digits.isdigit() and int(digits[:12]) * factor):
        raise argparse.ArgumentTypeError(f"{text!r} is no size, such as 4096, 64K or 64M")
    return int(digits[:12]) * factor


def read_seconds(text: str) -> float:
    """A number of seconds above 0."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of seconds above 0, up to {MAX_SECONDS}"
        )
    return seconds


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


def _content_type(content: str | bytes) -> str:
    """What a body is, when nobody says: JSON if it can be, else what a form would send."""
    try:
        json.loads(content)
    except ValueError:
        return "application/x-www-form-urlencoded"
    return "application/json"
