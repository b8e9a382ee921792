"""The command `trio-stream top`, run as its users do, on a real inspector and on a scripted one."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

import pytest
import trio

from tests.client.scripted import (
    Exchange,
    Script,
    ScriptedServer,
    broken,
    events,
    no_content,
    over_tcp,
    reset,
    status,
)
from trio_stream import InspectorApp, Stream, inspector_app, serve
from trio_stream.__main__ import main
from trio_stream.top.table import table_of


class Done(NamedTuple):
    """A command that has ended."""

    returncode: int
    stdout: str
    stderr: str


Top = Callable[..., Awaitable[Done]]


@pytest.fixture
def top(capsys: pytest.CaptureFixture[str]) -> Top:
    """Run the command to its end, in a thread of its own; its output is not a terminal."""

    async def run(*arguments: str) -> Done:
        try:
            with trio.fail_after(30):
                code = await trio.to_thread.run_sync(main, ["top", *arguments])
        except SystemExit as exc:
            code = int(str(exc.code))
        return Done(code, *capsys.readouterr())

    return run


async def resting(stream: Stream) -> None:
    await stream.send("hello")
    await trio.sleep_forever()


@asynccontextmanager
async def service(*paths: str) -> AsyncIterator[str]:
    """A server with these streams open; the address of its inspector."""

    def authorize(scope: Any) -> bool:
        return (b"authorization", b"Bearer staff") in scope["headers"]

    inspector: InspectorApp = inspector_app(authorize=authorize)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found = inspector if scope["path"] == "/inspect" else Stream(resting, hold_headers=False)
        await found(scope, receive, send)

    async with trio.open_nursery() as nursery:
        [url] = await nursery.start(partial(serve, app, bind="127.0.0.1:0"))
        clients = [
            await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2])) for _ in paths
        ]
        for client, path in zip(clients, paths, strict=True):
            await client.send_all(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            await client.receive_some()
        yield f"{url}/inspect"
        for client in clients:
            await client.aclose()
        nursery.cancel_scope.cancel()


STAFF = ("-H", "Authorization: Bearer staff")


async def test_open_streams_are_a_table(top: Top) -> None:
    async with service("/orders/17", "/%3Cb%3E") as url:
        done = await top(url, *STAFF, "-n", "2")
        assert done.returncode == 0
        assert "✗" not in done.stderr
        _, first, second = re.split(r"(?m)^(?=\S+: \d+ open)", done.stdout)
        assert "3 open, 0 stuck" in second
        assert re.search(r"\n +1 open +\d s +1 .* GET /orders/17\n", first)
        assert "GET /<b>\n" in first


async def test_those_are_shown_that_are_asked_for(top: Top) -> None:
    async with service("/orders/17", "/orders/18", "/prices") as url:
        done = await top(
            url, *STAFF, "-n", "1", "--find", "ORDERS", "--sort", "oldest", "--rows", "1"
        )
        assert "/orders/17" in done.stdout
        assert "1 of 2 shown" in done.stdout
        assert "/orders/18" not in done.stdout
        assert "/prices" not in done.stdout


async def test_for_programs_each_picture_is_a_line_of_json(top: Top) -> None:
    async with service("/orders/17") as url:
        done = await top(url, *STAFF, "-n", "2", "--json")
        first, second = map(json.loads, done.stdout.splitlines())
        assert first.keys() == second.keys()
        for picture in first, second:
            rows = [picture["streams"][str(number)] for number in picture["order"]]
            assert "GET /orders/17" in [row["request"] for row in rows]


async def test_who_may_not_look_is_told(top: Top) -> None:
    async with service() as url:
        done = await top(url.replace("://", "://me:secret@"))
        assert done.returncode == 1
        assert "403" in done.stderr
        assert "secret" not in done.stderr
        assert done.stdout == ""


OTHERS = [
    b"data: hello\n\n",
    b"data: 5\n\n",
    b"data: {}\n\n",
    b"event: about\ndata: 5\n\n",
    b"event: about\ndata: {}\n\n",
    b'event: about\ndata: {"now": 1}\n\nevent: picture\ndata: []\n\n',
]


@pytest.mark.parametrize("body", OTHERS)
async def test_another_event_stream_is_no_inspector(top: Top, body: bytes) -> None:
    async with over_tcp(ScriptedServer(events(body))) as url:
        done = await top(url, "-n", "1")
    assert done.returncode == 1
    assert "not an inspector's" in done.stderr


async def test_a_page_is_no_inspector(top: Top) -> None:
    async with over_tcp(ScriptedServer(status("200 OK", b"<p>", content_type="text/html"))) as url:
        done = await top(url)
    assert done.returncode == 1
    assert "answered with 'text/html'; that is no inspector" in done.stderr


async def test_who_says_that_there_is_no_more_is_no_inspector(top: Top) -> None:
    async with over_tcp(ScriptedServer(no_content)) as url:
        done = await top(url, "-n", "1")
    assert done.returncode == 1
    assert "(204)" in done.stderr


@pytest.mark.parametrize(
    ("script", "words"),
    [(reset, "no connection to {}"), (status("503 No"), "{} answered 503")],
    ids=["no answer", "unavailable"],
)
async def test_who_wants_so_many_pictures_is_told_that_there_is_nobody(
    top: Top, script: Script, words: str
) -> None:
    server = ScriptedServer(script)
    async with over_tcp(server) as url:
        done = await top(url, "-n", "1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"✗ {words.format(url)}")
    assert len(server.requests) == 1


async def test_who_says_nothing_is_not_waited_for(
    top: Top, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(exchange: Exchange) -> None:
        await exchange.until_closed()

    monkeypatch.setattr("trio_stream.top.run._IDLE_TIMEOUT", 0.2)
    async with over_tcp(ScriptedServer(silent)) as url:
        done = await top(url, "-n", "1")
    assert done.returncode == 1
    assert "the server did not answer for 0.2 s" in done.stderr


@pytest.mark.parametrize(
    "arguments", [[], ["x", "--rows", "0"], ["x", "--sort", "size"], ["x", "-n", "many"]]
)
async def test_a_wrong_command_line_is_refused(top: Top, arguments: list[str]) -> None:
    done = await top(*arguments)
    assert done.returncode == 2


ABOUT = {"process": "host:1", "broker": False, "payloads": False, "now": 1000.0}
ROW = {
    "request": "GET /a",
    "client": "10.0.0.1:5",
    "since": 990,
    "events": 1,
    "rate": 0.0,
    "bytes": 1500,
    "queued": 0,
}
PICTURE = {
    "totals": {"open": 1, "stuck": 0, "queued": 0, "rate": 0.0, "byteRate": 0},
    "matching": 1,
    "order": [1],
    "streams": {"1": ROW},
}


def wire(name: str, value: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(value)}\n\n".encode()


async def test_it_comes_back_and_begins_anew(top: Top) -> None:
    other = {**PICTURE, "order": [2], "streams": {"2": {**ROW, "request": "GET /b"}}}

    async def again(exchange: Exchange) -> None:
        await exchange.events(wire("about", ABOUT) + wire("picture", other))
        await exchange.until_closed()

    begun = b"retry: 10\n\n" + wire("about", ABOUT) + wire("picture", PICTURE)
    server = ScriptedServer(broken(begun), again)
    async with over_tcp(server) as url:
        done = await top(url, "--json", "-n", "2")
    first, second = map(json.loads, done.stdout.splitlines())
    assert (first["order"], second["order"]) == ([1], [2])
    assert list(second["streams"]) == ["2"]
    assert "connecting again" in done.stderr


async def test_only_changes_come_after_the_first(top: Top) -> None:
    changed = {"streams": {"1": {"events": 2, "stuckSince": 997}}, "totals": {"stuck": 1}}
    server = ScriptedServer(
        events(wire("about", ABOUT) + wire("picture", PICTURE) + wire("picture", changed))
    )
    async with over_tcp(server) as url:
        done = await top(url, "-n", "2")
    assert re.search(r" 1 stuck 3 s +10 s +2 +0.0 +1.5 kB +0 10.0.0.1:5 +GET /a\n", done.stdout)


def test_what_a_picture_says_cannot_play_with_the_terminal() -> None:
    row = {**ROW, "request": "GET /\x1b[2J\u202e", "client": "\x1b[31m", "outcome": "\x1b]0;x"}
    picture = {**PICTURE, "streams": {"1": row}}
    lines = table_of({**ABOUT, "process": "\x1bc"}, picture, 1000.0, 200)
    text = "".join(part for line in lines for part, _ in line)
    assert text.isprintable()
    assert "\\x1b[2J" in text


@pytest.mark.parametrize("width", [20, 80, 109, 110, 200])
def test_lines_fit_the_terminal(width: int) -> None:
    row = {**ROW, "request": "GET /" + "long" * 100, "events": 10**12, "bytes": 10**20}
    picture = {**PICTURE, "streams": {"1": row}, "matching": 10**6}
    for line in table_of(ABOUT, picture, 10.0**9, width)[:2]:
        assert len("".join(part for part, _ in line)) <= width
    if width >= 80:
        for line in table_of(ABOUT, picture, 10.0**9, width):
            assert len("".join(part for part, _ in line)) <= width


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (30, "state request"),
        (45, "state request"),
        (50, "state open request"),
        (80, "state open events ev/s bytes queued request"),
        (70, "state open ev/s queued request"),
        (160, "state open events ev/s bytes queued client request"),
    ],
)
def test_a_narrow_line_has_fewer_columns_and_still_the_request(width: int, columns: str) -> None:
    long = {**ROW, "request": "GET /orders/of-somebody"}
    picture = {**PICTURE, "streams": {"1": long}}
    totals, _, heads, row = (
        "".join(text for text, _ in line) for line in table_of(ABOUT, picture, 1000.0, width)
    )
    assert heads.split() == ["stream", *columns.split()]
    assert "GET /orde" in row
    assert len(row) <= width
    assert totals.startswith("host:1: 1 open, 0 stuck" if width > 60 else "1 open, 0 stuck")


@pytest.mark.parametrize("rich", [True, False])
async def test_in_a_terminal_the_screen_is_written_anew_until_ctrl_c(rich: bool) -> None:
    """Without rich as where it is not installed: its import finds nothing."""
    hide = "" if rich else "sys.modules['rich'] = sys.modules['rich.console'] = None; "
    program = f"import sys; {hide}from trio_stream.__main__ import main; sys.exit(main())"
    own, others = pty.openpty()
    async with service("/orders/17") as url:
        process = subprocess.Popen(
            [sys.executable, "-c", program, "top", url, *STAFF],
            stdin=others,
            stdout=others,
            stderr=others,
            env={**os.environ, "COLUMNS": "120", "LINES": "20", "TERM": "xterm"},
        )
        os.close(others)
        seen = ""
        try:
            with trio.fail_after(60):
                while seen.count("/orders/17") < 2:
                    await trio.lowlevel.wait_readable(own)
                    seen += os.read(own, 65536).decode()
            process.send_signal(signal.SIGINT)
            code = await trio.to_thread.run_sync(process.wait, 60)
        finally:
            process.kill()
            process.wait()
            os.close(own)
    assert code == 130
    assert "\x1b[" in seen
    assert ("\x1b[?1049h" in seen) is rich
    assert "Traceback" not in seen
