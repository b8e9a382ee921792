"""Decoders of event streams, side by side on the same bytes, without any network.

`python -m benchmarks.micro.decode` shows microseconds per event, and how the time for one event
grows with its size when it arrives in pieces of 64 bytes. Each decoder is used by its asynchronous
interface, on a response that has every piece at once: all that its users run on the bytes, but no
HTTP. The rounds are interleaved, A B C A B C; ratios are reckoned inside each round. Pin it to a
core of its own: `taskset -c 1 python -m ...`.
"""

from __future__ import annotations

import argparse
import codecs
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import process_time
from typing import Any, ClassVar

from rich.console import Console
from rich.table import Table

from benchmarks.build import MODULES, PEERS, UnavailableError, need
from trio_stream import EventStreamDecoder

OWN = "trio-stream"
JAVASCRIPT = Path(__file__).with_name("decode.mjs")

#: Seconds after which a decoder is not asked for larger events any more.
PATIENCE = 8.0

Decode = Callable[[Any], Coroutine[Any, Any, int]]


@dataclass(frozen=True)
class Corpus:
    """One stream of events that are all of the same length, and how it is cut up."""

    event: bytes
    count: int
    piece: int

    @property
    def wire(self) -> bytes:
        return self.event * self.count

    def pieces(self) -> list[bytes]:
        wire = self.wire
        return [wire[start : start + self.piece] for start in range(0, len(wire), self.piece)]


SHORT = b"data: a short string\n\n"
CHAT = (
    b'data: {"id":"chatcmpl-Bq7x0lZ4","object":"chat.completion.chunk","created":1763800000,'
    b'"model":"a-model","service_tier":"default","system_fingerprint":"fp_51e1070cf2","choices":'
    b'[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]}\n\n'
)
TICK = b'id: 1763800000000-0\nevent: tick\ndata: {"symbol":"AAPL","bid":1.25,"ask":1.5}\n\n'
LINES = b"event: fragment\n" + b"data: <li>an item of a list of ten</li>\n" * 10 + b"\n"

SEGMENT = 65536
CORPORA = {
    "short strings": Corpus(SHORT, 30_000, SEGMENT),
    "short strings, one a read": Corpus(SHORT, 30_000, len(SHORT)),
    "chat chunks": Corpus(CHAT, 10_000, SEGMENT),
    "chat chunks, one a read": Corpus(CHAT, 10_000, len(CHAT)),
    "name, id and JSON": Corpus(TICK, 20_000, SEGMENT),
    "name, id and JSON, one a read": Corpus(TICK, 20_000, len(TICK)),
    "name, id and JSON, CRLF": Corpus(TICK.replace(b"\n", b"\r\n"), 20_000, SEGMENT),
    "HTML in ten lines": Corpus(LINES, 3_000, SEGMENT),
}

SIZES = [2**10, 2**14, 2**18, 2**20, 2**22, 2**24]


def one_event(size: int) -> Corpus:
    return Corpus(b"data: " + b"x" * size + b"\n\n", max(1, 2**18 // size), 64)


class Response:
    """As much as the decoders ask of one of httpx's, with a body that is there already."""

    headers: ClassVar = {"content-type": "text/event-stream"}
    request = None

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece

    async def aiter_text(self) -> AsyncIterator[str]:
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        for piece in self._pieces:
            yield decode(piece)


# The decoders. Each gives the number of events.


async def own(response: Any) -> int:
    feed, count = EventStreamDecoder(max_event_bytes=2**26).feed, 0
    async for piece in response.aiter_bytes():
        for _ in feed(piece):
            count += 1
    return count


async def httpx_sse(response: Any) -> int:
    from httpx_sse import EventSource

    return await _count(EventSource(response).aiter_sse())


async def httpx2(response: Any) -> int:
    from httpx2 import EventSource

    return await _count(EventSource(response, max_event_size=2**26))


async def openai(response: Any) -> int:
    from openai._streaming import SSEDecoder

    return await _count(SSEDecoder().aiter_bytes(response.aiter_bytes()))


async def _count(events: AsyncIterable[object]) -> int:
    count = 0
    async for _ in events:
        count += 1
    return count


PYTHON: dict[str, Decode] = {
    OWN: own,
    "httpx-sse": httpx_sse,
    "httpx2": httpx2,
    "openai": openai,
}
JS = "eventsource-parser"


class Contestant:
    """A decoder that can be measured on a corpus."""

    def __init__(self, name: str, decode: Decode) -> None:
        self.name = name
        self._decode = decode

    def seconds(self, corpus: Corpus) -> float:
        """How long it takes; an error if it does not give every event."""
        response = Response(corpus.pieces())
        begin = process_time()
        count = _run(self._decode(response))
        taken = process_time() - begin
        _check(self.name, count, corpus)
        return taken


class JavaScript(Contestant):
    """npm's eventsource-parser in Node.js, warm, text decoding included as for the others."""

    def __init__(self) -> None:
        self.name = JS
        self._node = need("node", "apt install nodejs")

    def seconds(self, corpus: Corpus) -> float:
        with tempfile.NamedTemporaryFile() as file:
            file.write(corpus.wire)
            file.flush()
            command = [self._node, str(JAVASCRIPT), str(MODULES), file.name, str(corpus.piece)]
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
        result = json.loads(done.stdout)
        _check(self.name, result["count"], corpus)
        return float(result["seconds"])


def _run(decoding: Coroutine[Any, Any, int]) -> int:
    """Run what never has to wait."""
    try:
        decoding.send(None)
    except StopIteration as done:
        return int(done.value)
    raise AssertionError("a decoder waited, though every piece was there")


def _check(name: str, count: int, corpus: Corpus) -> None:
    if count != corpus.count:
        raise UnavailableError(f"{name} gave {count} events of {corpus.count}")


def contestants(console: Console, install: bool) -> Iterator[Contestant]:
    for name, decode in PYTHON.items():
        try:
            _run(decode(Response([SHORT])))
        except ImportError:
            console.print(f"{name} left out: pip install -e '.[bench]'", style="yellow")
        else:
            yield Contestant(name, decode)
    try:
        if not (MODULES / JS).is_dir():
            _install(install)
        yield JavaScript()
    except UnavailableError as reason:
        console.print(f"{JS} left out: {reason}", style="yellow")


def _install(install: bool) -> None:
    if not install:
        raise UnavailableError("npm install --prefix benchmarks/peers")
    npm = need("npm", "apt install npm")
    options = ["--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run([npm, "install", "--prefix", str(PEERS), *options], check=True, timeout=600)


def versions(names: Sequence[str]) -> str:
    found = [f"Python {sys.version.split()[0]}"]
    for name in names:
        if name == JS:
            package = json.loads((MODULES / JS / "package.json").read_text())
            node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
            found.append(f"{JS} {package['version']} (Node {node.stdout.strip()})")
        else:
            try:
                found.append(f"{name} {version(name)}")
            except PackageNotFoundError:
                found.append(f"{name} (this checkout)")
    return ", ".join(found)


# Seconds of each round: [corpus][contestant][round].
Results = dict[str, dict[str, list[float]]]


def compete(everybody: Sequence[Contestant], repeats: int) -> Results:
    results: Results = {}
    for title, corpus in CORPORA.items():
        times = results[title] = {contestant.name: [] for contestant in everybody}
        for _ in range(repeats):
            for contestant in everybody:
                times[contestant.name].append(contestant.seconds(corpus))
    return results


def show_speed(console: Console, results: Results, names: Sequence[str]) -> None:
    table = Table(title="microseconds per event, and how many times those of " + OWN)
    table.add_column("events")
    for name in names:
        table.add_column(name, justify="right")
    for title, times in results.items():
        cells = []
        for name in names:
            each = statistics.median(times[name]) / CORPORA[title].count * 1e6
            ratios = [a / b for a, b in zip(times[name], times[OWN], strict=True)]
            cells.append(f"{each:.2f}" + ("" if name == OWN else f" (x {_middle(ratios)})"))
        table.add_row(title, *cells)
    console.print(table)


def _middle(ratios: Sequence[float]) -> str:
    return f"{statistics.median(ratios):.1f}"


def show_growth(console: Console, everybody: Sequence[Contestant], repeats: int) -> Results:
    """The time for each byte of one event, which should not depend on the event's size."""
    table = Table(title="nanoseconds per byte of one event that arrives in pieces of 64 bytes")
    table.add_column("size")
    for contestant in everybody:
        table.add_column(contestant.name, justify="right")
    results: Results = {}
    too_slow: set[str] = set()
    for size in SIZES:
        corpus = one_event(size)
        cells, taken = [], results.setdefault(str(size), {})
        for contestant in everybody:
            if contestant.name in too_slow:
                cells.append("-")
                continue
            times = [contestant.seconds(corpus) for _ in range(repeats)]
            taken[contestant.name] = times
            cells.append(f"{min(times) / len(corpus.wire) * 1e9:.2f}")
            if min(times) > PATIENCE / 4:  # the next size is four times this one, or more
                too_slow.add(contestant.name)
        table.add_row(f"{size // 1024:,} KiB", *cells)
    console.print(table)
    return results


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.micro.decode", description=__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="rounds (default: 7)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there, too")
    parser.add_argument("--smoke", action="store_true", help="one round, nothing installed")
    options = parser.parse_args(argv)
    console = Console(width=None if sys.stdout.isatty() else 132, highlight=False)
    repeats = 1 if options.smoke else options.repeats
    everybody = list(contestants(console, install=not options.smoke))
    names = [contestant.name for contestant in everybody]
    console.print(versions(names))
    speed = compete(everybody, repeats)
    show_speed(console, speed, names)
    growth = show_growth(console, everybody, min(repeats, 3))
    if options.json:
        options.json.write_text(json.dumps({"speed": speed, "growth": growth}, indent=2))


if __name__ == "__main__":
    main()
