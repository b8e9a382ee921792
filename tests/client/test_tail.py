"""The command `trio-stream tail`, run as its users do."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
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
    redirect,
    reset,
    status,
)
from trio_stream.__main__ import main
from trio_stream.client.terminal.arguments import read_url
from trio_stream.client.terminal.paper import visible
from trio_stream.client.terminal.tail import Options
from trio_stream.client.terminal.wiretap import Wiretap

PROJECT = Path(__file__).parents[2]

STREAM = (
    b": hello\n\nretry: 10\n\n"
    b'event: tick\nid: 41\ndata: {"bid": 1.50, "ask": null}\n\n'
    b'data: {"levels": [{"bid": 1}, {"bid": 2}]}\n\n'
    b"data: two\ndata: lines\n\n"
)


@dataclass
class Done:
    """A command that has ended."""

    returncode: int
    stdout: str
    stderr: str


Tail = Callable[..., Awaitable[Done]]


@pytest.fixture
def tail(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Tail:
    """Run the command to its end, in a thread of its own; its output is not a terminal."""

    async def run(*arguments: str, stdin: bytes = b"", **env: str) -> Done:
        for name, value in {"COLUMNS": "80", "NO_COLOR": "1", **env}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        try:
            with trio.fail_after(30):
                code = await trio.to_thread.run_sync(main, ["tail", *arguments])
        except SystemExit as exc:
            code = int(str(exc.code))
        return Done(code, *capsys.readouterr())

    return run


def untimed(output: str) -> str:
    """What it wrote, without the times of day and the milliseconds."""
    text = re.sub(r"^\d\d:\d\d:\d\d\.\d{3} ", "", output, flags=re.MULTILINE)
    return re.sub(r"\(\d+ ms\)", "(N ms)", text)


async def test_shows_names_ids_and_json_for_people(tail: Tail) -> None:
    async with over_tcp(ScriptedServer(events(STREAM), no_content)) as url:
        done = await tail(url)
    assert untimed(done.stdout) == (
        'tick 41 {"bid": 1.50, "ask": null}\n'
        "message 41\n"
        "{\n"
        '  "levels": [\n'
        "    {\n"
        '      "bid": 1\n'
        "    },\n"
        "    {\n"
        '      "bid": 2\n'
        "    }\n"
        "  ]\n"
        "}\n"
        "message 41\n"
        "two\nlines\n"
    )
    assert untimed(done.stderr) == (
        f"● connected to {url} (N ms)\n"
        "○ the stream ended, 3 events; connecting again in 0.5 s\n"
        "■ the server says that there is no more\n"
    )
    assert done.returncode == 0


async def test_json_that_does_not_fit_the_line_is_laid_out(tail: Tail) -> None:
    body = b'retry: 1\ndata: {"a": 1, "b": 2}\n\n'
    async with over_tcp(ScriptedServer(events(body))) as url:
        done = await tail(url, "-n1", COLUMNS="30")
    assert untimed(done.stdout) == 'message\n{\n  "a": 1,\n  "b": 2\n}\n'


@pytest.mark.parametrize(
    "data", ["12", '"text"', "null", "[1, 2", "NaN", "[" * 5000, '{"a": "\ud800"}'[:6] + "}"]
)
async def test_what_is_no_json_with_parts_is_shown_as_it_is(tail: Tail, data: str) -> None:
    async with over_tcp(ScriptedServer(events(f"data: {data}\n\n".encode()))) as url:
        done = await tail(url, "-n1")
    assert untimed(done.stdout) == f"message {data}\n"


async def test_names_ids_and_json_are_in_colour_on_a_terminal(tail: Tail) -> None:
    async with over_tcp(ScriptedServer(events(STREAM))) as url:
        done = await tail(url, "-n1", NO_COLOR="", FORCE_COLOR="1", TERM="xterm-256color")
    assert re.search(r"\x1b\[1;\d+mtick\x1b\[0m", done.stdout)
    assert re.search(r"\x1b\[36m 41\x1b\[0m", done.stdout)
    assert re.search(r"\x1b\[1;34m\"bid\"\x1b\[0m", done.stdout)


async def test_an_event_cannot_play_with_the_terminal(tail: Tail) -> None:
    bad = "\x1b[2J\x07\x9b31m\x08\u202e\u2066"
    body = f'event: {bad}\nid: {bad}\ndata: {bad}\n\n: {bad}\ndata: {{"a": "{bad}"}}\n\n'
    async with over_tcp(ScriptedServer(events(body.encode()))) as url:
        done = await tail(url, "-n2", "--comments")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2066]", done.stdout)
    assert done.stdout.count("\\x1b[2J") == 6


def test_visible_leaves_text_alone() -> None:
    text = "tab\tand\nlines, é, 👩‍👩‍👧, עברית"
    assert visible(text) == text
    assert visible("\x1b[0m") == "\\x1b[0m"
    assert visible("a\x85b\u2028c") == "a\\x85b\\u2028c"


async def test_json_is_one_object_a_line_and_nothing_else(tail: Tail) -> None:
    async with over_tcp(ScriptedServer(events(STREAM), no_content)) as url:
        done = await tail(url, "--json", "--comments")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"comment": "hello"},
        {"event": "tick", "id": "41", "data": '{"bid": 1.50, "ask": null}'},
        {"event": "message", "id": "41", "data": '{"levels": [{"bid": 1}, {"bid": 2}]}'},
        {"event": "message", "id": "41", "data": "two\nlines"},
    ]
    assert "connected to" in done.stderr


async def test_each_event_is_written_at_once() -> None:
    async def one_and_wait(exchange: Exchange) -> None:
        await exchange.events(b"data: 1\n\n")
        await exchange.until_closed()

    command = [sys.executable, "-m", "trio_stream", "tail", "--json"]
    async with over_tcp(ScriptedServer(one_and_wait)) as url, trio.open_nursery() as nursery:
        process = await nursery.start(_start, [*command, url])
        with trio.fail_after(60):
            assert b'"data":"1"' in await process.stdout.receive_some()
        nursery.cancel_scope.cancel()


async def _start(command: list[str], *, task_status: trio.TaskStatus[trio.Process]) -> None:
    """Start a command; it and its pipes are gone once the nursery is cancelled."""
    process = await trio.lowlevel.open_process(
        command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    task_status.started(process)
    try:
        await trio.sleep_forever()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            for stream in (process.stdout, process.stderr):
                assert stream is not None
                await stream.aclose()


@pytest.mark.parametrize("when", ["connected", "connecting"])
async def test_ctrl_c_ends_it_without_a_word(when: str) -> None:
    async def wait(exchange: Exchange) -> None:
        if when == "connected":
            await exchange.events()
        await exchange.until_closed()

    server = ScriptedServer(wait)
    command = [sys.executable, "-m", "trio_stream", "tail"]
    async with over_tcp(server) as url, trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(_start, [*command, url])
        with trio.fail_after(60):
            while not server.requests:
                await trio.sleep(0.01)
            if when == "connected":
                assert process.stderr is not None
                assert b"connected" in await process.stderr.receive_some()
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 130
            assert process.stderr is not None
            rest = b"".join([chunk async for chunk in process.stderr])
            assert b"Traceback" not in rest
            while server.open:
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("options", [(), ("--json",)], ids=str)
async def test_a_reader_that_leaves_ends_it_without_a_word(options: tuple[str, ...]) -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.events()
        while True:
            await exchange.send(b"data: 1\n\n" * 100)

    command = [sys.executable, "-m", "trio_stream", "tail", *options]
    async with over_tcp(ScriptedServer(endless)) as url, trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(_start, [*command, url])
        assert process.stdout is not None
        with trio.fail_after(60):
            await process.stdout.receive_some()
            await process.stdout.aclose()
            assert await process.wait() == 141
            assert process.stderr is not None
            rest = b"".join([chunk async for chunk in process.stderr])
        assert b"Traceback" not in rest
        assert b"Exception ignored" not in rest
        nursery.cancel_scope.cancel()


async def test_what_is_no_event_is_noted(tail: Tail) -> None:
    body = b'foo: bar\ndata: a\n\n{"error": 1}\n\ndata: b\n'
    async with over_tcp(ScriptedServer(events(body))) as url:
        done = await tail(url, "--json", "--no-reconnect")
    assert done.stdout == '{"event":"message","id":null,"data":"a"}\n'
    assert (
        "▲ not shown, because it is no event: 1 lines with unknown fields, "
        "1 lines that are no field, an unfinished event at the end\n"
    ) in done.stderr


async def test_one_that_is_too_large_is_left_out_and_noted(tail: Tail) -> None:
    body = b"data: a\n\ndata: %b\n\ndata: b\n\n" % (b"x" * 3000)
    async with over_tcp(ScriptedServer(events(body))) as url:
        done = await tail(url, "--json", "--no-reconnect", "--max-event-size", "2K")
        assert [json.loads(line)["data"] for line in done.stdout.splitlines()] == ["a", "b"]
        assert done.stderr.count("▲ the peer sent a line of more than 2048 bytes") == 1
        assert done.returncode == 0
        done = await tail(url, "--json", "--no-reconnect", "--max-event-size", "4k")
        assert len(done.stdout.splitlines()) == 3


@pytest.mark.parametrize("read_as", ["auto", "json", "lines"])
async def test_what_is_no_event_stream_is_shown_on_request(tail: Tail, read_as: str) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head(content_type="application/json")
        await exchange.send(b'{"a":1}\n{"b":2}\n')

    async with over_tcp(ScriptedServer(script)) as url:
        done = await tail(url, "--json", "--no-reconnect", "--read-as", read_as)
        assert [json.loads(line)["data"] for line in done.stdout.splitlines()] == [
            '{"a":1}',
            '{"b":2}',
        ]
        refused = await tail(url, "--no-reconnect")
    assert refused.returncode == 1
    assert "; an event stream is 'text/event-stream', and --read-as says" in refused.stderr
    assert "read_as=" not in refused.stderr
    assert '{"a":1}' in refused.stderr


@pytest.mark.parametrize("size", ["0", "-1", "x", "5T", "1.5M", "", "M"])
async def test_a_size_that_is_none_is_refused(tail: Tail, size: str) -> None:
    done = await tail("http://h/", f"--max-event-size={size}")
    assert done.returncode == 2
    assert "is no size, such as 4096, 64K or 64M" in done.stderr


@pytest.mark.parametrize("rest", [b"data: 2\n\n", b"id: 2\ndata: 2\n\n", b"id: 2\ndata: 2"])
async def test_what_was_not_asked_for_is_no_unfinished_event(tail: Tail, rest: bytes) -> None:
    async with over_tcp(ScriptedServer(events(b"id: 1\ndata: 1\n\n" + rest))) as url:
        done = await tail(url, "-n1")
    assert "unfinished" not in done.stderr


async def test_reconnects_are_shown(tail: Tail) -> None:
    body = b"retry: 10\nid: 1\ndata: a\n\n"
    server = ScriptedServer(broken(body), reset, status("503 No"), events(body), no_content)
    async with over_tcp(server) as url:
        done = await tail(url, "--json")
    notes = re.sub(r"in \d+\.\d s", "in N s", untimed(done.stderr))
    assert [line[:60] for line in notes.splitlines()] == [
        line[:60]
        for line in (
            f"● connected to {url} (N ms)",
            "○ RemoteProtocolError: peer closed connection without sending complete message",
            "○ RemoteProtocolError: Server disconnected without sending a response.; connect",
            f"○ {url} answered 503; connecting again in N s",
            f"● connected to {url} after 1 (N ms)",
            "○ the stream ended, 1 event; connecting again in N s",
            "■ the server says that there is no more",
        )
    ]
    assert len(done.stdout.splitlines()) == 2


@pytest.mark.parametrize(
    ("first", "words"),
    [(reset, "no connection to {}: RemoteProtocolError"), (status("503 No"), "{} answered 503")],
    ids=["no answer", "unavailable"],
)
async def test_who_wants_so_many_events_is_told_that_there_is_nobody(
    tail: Tail, first: Script, words: str
) -> None:
    server = ScriptedServer(first, events(b"data: a\n\n"), no_content)
    async with over_tcp(server) as url:
        done = await tail(url, "-n", "1")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"✗ {words.format(url)}")
        assert "connecting again" not in done.stderr
        assert len(server.requests) == 1
        done = await tail(url, "-n", "1", "--ndjson")
        assert (done.returncode, done.stdout) == (0, '"a"\n')


@pytest.mark.parametrize("arguments", [["-n", "1", "--reconnect"], []])
async def test_who_waits_for_a_server_says_so_or_has_all_the_time(
    tail: Tail, arguments: list[str]
) -> None:
    server = ScriptedServer(reset, events(b"data: a\n\n"), no_content)
    async with over_tcp(server) as url:
        done = await tail(url, "--ndjson", *arguments)
    assert (done.returncode, done.stdout) == (0, '"a"\n')
    assert "connecting again" in done.stderr


async def test_a_stream_that_was_there_is_waited_for(tail: Tail) -> None:
    body = b"retry: 10\nid: 1\ndata: a\n\n"
    server = ScriptedServer(broken(body), reset, events(body))
    async with over_tcp(server) as url:
        done = await tail(url, "-n", "2", "--ndjson")
    assert (done.returncode, done.stdout) == (0, '"a"\n"a"\n')


async def test_what_is_sent_is_what_was_asked_for(tail: Tail, tmp_path: Path) -> None:
    server = ScriptedServer(events(b"data: 1\n\n"))
    file = tmp_path / "body"
    file.write_bytes(b"from a file")
    async with over_tcp(server) as url:
        await tail(url, "-n1", "-i", "41", "-H", "X-Key: a: b", "-H", "Accept: x")
        await tail(url, "-d", '{"q": 1}')
        await tail(url, "-d", "q=1", "-X", "PUT")
        await tail(url, "-d", f"@{file}", "-H", "Content-Type: text/plain")
        await tail(url, "-d", "@-", stdin=b"from stdin")
        await tail(url.removeprefix("http://"), "-n1")
    first, second, third, fourth, fifth, sixth = server.requests
    assert (first.method, first.headers["last-event-id"]) == ("GET", "41")
    assert (first.headers["x-key"], first.headers["accept"]) == ("a: b", "x")
    assert (second.method, second.body) == ("POST", b'{"q": 1}')
    assert second.headers["content-type"] == "application/json"
    assert (third.method, third.body) == ("PUT", b"q=1")
    assert third.headers["content-type"] == "application/x-www-form-urlencoded"
    assert (fourth.body, fourth.headers["content-type"]) == (b"from a file", "text/plain")
    assert fifth.body == b"from stdin"
    assert sixth.method == "GET"


async def test_no_reconnect_ends_with_the_stream(tail: Tail) -> None:
    server = ScriptedServer(events(b"data: 1\n\n"))
    async with over_tcp(server) as url:
        done = await tail(url, "--no-reconnect")
    assert done.returncode == 0
    assert untimed(done.stderr).endswith("■ closed, 1 event\n")
    assert len(server.requests) == 1


async def test_a_failure_is_one_line_and_what_the_server_said(tail: Tail) -> None:
    server = ScriptedServer(status("404 Not Found", b"there is\x1b no such stream\n"))
    async with over_tcp(server) as url:
        done = await tail(url)
    assert done.returncode == 1
    assert done.stderr == f"✗ {url} answered 404\nthere is\\x1b no such stream\n"
    assert done.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["http://h/", "-H", "no colon"],
        ["http://h/", "-H", ": no name"],
        ["http://h/", "-n", "0"],
        ["http://h/", "-n", "x"],
        ["http://h/", "--idle-timeout", "0"],
        ["http://h/", "--idle-timeout", "nan"],
        ["http://h/", "--answer-timeout", "0"],
        ["http://h/", "-d", "@/nonexistent"],
    ],
    ids=" ".join,
)
async def test_misuse_is_told_with_the_usage(tail: Tail, arguments: list[str]) -> None:
    done = await tail(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: trio-stream tail")
    assert "Traceback" not in done.stderr


async def test_who_does_not_answer_is_not_waited_for_as_long_as_an_event(tail: Tail) -> None:
    async def silent(exchange: Exchange) -> None:
        await exchange.until_closed()

    async with over_tcp(ScriptedServer(silent)) as url:
        done = await tail(url, "-n1", "--answer-timeout", "0.1")
    assert done.returncode == 1
    assert "the server did not answer for 0.1 s" in done.stderr


def test_by_itself_it_waits_half_a_minute_for_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Options] = []
    monkeypatch.setattr("trio_stream.__main__.run", given.append)
    with pytest.raises(TypeError):  # the exit code, which is none
        main(["tail", "http://h/"])
    assert (given[0].answer_timeout, given[0].idle_timeout) == (30, 300)


async def test_a_header_that_is_none_is_not_repeated(tail: Tail) -> None:
    done = await tail("h", "-H", "Authorization secret")
    assert done.returncode == 2
    assert "a header is NAME:VALUE" in done.stderr
    assert "secret" not in done.stderr


@pytest.mark.parametrize(
    "url",
    ["ftp://h/", "http://", "http://[::1", "http://u:secret@h:x/?key=secret", "http://xn--/", ""],
)
async def test_a_url_that_is_none_is_told(tail: Tail, url: str) -> None:
    done = await tail(url)
    assert done.returncode == 1
    assert done.stderr.startswith("✗ ")
    assert "URL" in done.stderr
    assert "secret" not in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("env", "what_to_do"),
    [
        ({"ALL_PROXY": "socks5h://u:secret@127.0.0.1:9"}, "pip install httpx[socks]"),
        ({"ALL_PROXY": "ftp://u:secret@127.0.0.1:9"}, "mend or unset HTTP_PROXY"),
        ({"HTTPS_PROXY": "http://u:secret@h:x"}, "mend or unset HTTP_PROXY"),
        ({"ALL_PROXY": "http://127.0.0.1:9", "NO_PROXY": "[::1]x"}, "mend or unset HTTP_PROXY"),
        ({"SSL_CERT_FILE": "/nonexistent.pem"}, "mend SSL_CERT_FILE, or unset it"),
        ({"SSL_CERT_FILE": __file__}, "mend SSL_CERT_FILE, or unset it"),
    ],
    ids=["no socks", "no such proxy", "no port", "NO_PROXY", "no certificates", "no certificate"],
)
async def test_an_environment_that_cannot_be_obeyed_is_told(
    tail: Tail, env: dict[str, str], what_to_do: str
) -> None:
    done = await tail("http://127.0.0.1:9/", **env)
    assert done.returncode == 1
    assert done.stderr.startswith("✗ no connection to http://127.0.0.1:9/: ")
    assert what_to_do in done.stderr
    assert "secret" not in done.stderr
    assert done.stderr.count("\n") == 1


WITHOUT_RICH = "import sys; sys.modules['rich'] = None; import trio_stream.__main__ as m; m.main()"


@pytest.mark.parametrize(
    ("option", "shown"),
    [
        ((), 'tick 41 {"bid": 1.50, "ask": null}\nmessage\\x1b two\nlines\n'),
        (
            ("--json",),
            '{"event":"tick","id":"41","data":"{\\"bid\\": 1.50, \\"ask\\": null}"}\n'
            '{"event":"message\\u001b","id":"","data":"two\\nlines"}\n',
        ),
        (("--ndjson",), '{"bid":1.50,"ask":null}\n"two\\nlines"\n'),
    ],
    ids=["plain", "json", "ndjson"],
)
async def test_without_rich_it_is_plain(option: tuple[str, ...], shown: str) -> None:
    body = (
        b'event: tick\nid: 41\ndata: {"bid": 1.50, "ask": null}\n\n'
        b"event: message\x1b\nid\ndata: two\ndata: lines\n\n"
    )
    command = [sys.executable, "-c", WITHOUT_RICH, "tail", "--no-reconnect", *option]
    async with over_tcp(ScriptedServer(events(body))) as url:
        done = await trio.run_process(
            [*command, url], cwd=PROJECT, capture_stdout=True, capture_stderr=True
        )
    assert untimed(done.stdout.decode()).replace("message\\x1b\n", "message\\x1b ") == shown
    assert untimed(done.stderr.decode()) == (f"● connected to {url} (N ms)\n■ closed, 2 events\n")


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ('{"a": [1.50,\ndata:  2e400]}', '{"a":[1.50,2e400]}'),
        ("12345678901234567890123", "12345678901234567890123"),
        ("text", '"text"'),
        ("[1, 2", '"[1, 2"'),
        ("1 2", '"1 2"'),
        ("NaN", '"NaN"'),
        ("", '""'),
    ],
)
async def test_ndjson_is_the_data_alone(tail: Tail, data: str, line: str) -> None:
    body = f": comment\n\nevent: a\nid: 1\ndata: {data}\n\n".encode()
    async with over_tcp(ScriptedServer(events(body))) as url:
        done = await tail(url, "-n1", "--ndjson", "--comments")
    assert done.stdout == f"{line}\n"


async def test_events_of_some_names_alone(tail: Tail) -> None:
    body = b"event: a\ndata: 1\n\ndata: 2\n\nevent: b\ndata: 3\n\nevent: a\ndata: 4\n\n"
    async with over_tcp(ScriptedServer(events(body))) as url:
        done = await tail(url, "-n2", "--ndjson", "--event", "a")
        assert done.stdout == "1\n4\n"
        done = await tail(url, "--no-reconnect", "--ndjson", "--event=b", "--event=message")
        assert done.stdout == "2\n3\n"


async def test_verbose_tells_of_requests_and_answers_and_of_no_secret(tail: Tail) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head(content_type="text/event-stream", set_cookie="s=s3cret", x_a="b")
        await exchange.send(b"data: 1\n\n")

    async with over_tcp(ScriptedServer(redirect(307, "/there?key=s3cret"), script)) as url:
        place = url.replace("http://", "http://user:s3cret@") + "/here?token=s3cret"
        done = await tail(place, "-v", "-n1", "--ndjson", "-H", "X-Api-Key: s3cret", "-H", "X-A: b")
    assert done.stdout == "1\n"
    lines = done.stderr.splitlines()
    for wanted in (
        *(f"> GET {url}/here", "> x-a: b", "> x-api-key: ...", "> authorization: ..."),
        *("< HTTP/1.1 307", "< location: /there", f"> GET {url}/there"),
        *("< HTTP/1.1 200", "< set-cookie: ...", "< x-a: b"),
    ):
        assert wanted in lines
    assert "s3cret" not in done.stderr
    assert "▲" not in done.stderr  # nobody listens on the way to oneself


async def test_a_user_and_a_password_are_sent(tail: Tail) -> None:
    server = ScriptedServer(events(b"data: 1\n\n"))
    async with over_tcp(server) as url:
        host = url.removeprefix("http://")
        await tail(f"http://ann:a%3Ab@{host}", "-n1")
        await tail(f"ann:word@{host}", "-n1")
    sent = [request.headers["authorization"] for request in server.requests]
    assert sent == [f"Basic {b64encode(pair).decode()}" for pair in (b"ann:a:b", b"ann:word")]


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("example.org/a?b", "https://example.org/a?b"),
        ("example.org:8000", "https://example.org:8000"),
        ("u:p@example.org", "https://u:p@example.org"),
        ("localhost.example.org", "https://localhost.example.org"),
        ("127.0.0.1.example.org", "https://127.0.0.1.example.org"),
        ("10.0.0.1", "https://10.0.0.1"),
        ("[2001:db8::1]:80/a", "https://[2001:db8::1]:80/a"),
        ("localhost@example.org", "https://localhost@example.org"),
        ("http://example.org", "http://example.org"),
        ("https://localhost", "https://localhost"),
        ("localhost", "http://localhost"),
        ("LOCALHOST:8000/a", "http://LOCALHOST:8000/a"),
        ("app.localhost/a", "http://app.localhost/a"),
        ("127.0.0.2:1/a?b=example.org", "http://127.0.0.2:1/a?b=example.org"),
        ("u:p@[::1]:80/a", "http://u:p@[::1]:80/a"),
        ("0.0.0.0:8000", "http://0.0.0.0:8000"),
    ],
)
def test_a_url_without_a_scheme_is_https_unless_it_is_this_machine(url: str, asked: str) -> None:
    assert read_url(url) == asked


async def test_what_goes_in_clear_is_told() -> None:
    told: list[tuple[str, str]] = []
    async with httpx.AsyncClient(
        transport=httpx.MockTransport(lambda _: httpx.Response(200)),
        cookies={"session": "s3cret"},
    ) as client:
        Wiretap(lambda *line: told.append(line), verbose=False).listen_to(client)
        await client.get("http://localhost/?token=s3cret")
        await client.get("https://example.org/?token=s3cret")
        assert told == []
        await client.get("http://example.org/?api_key=s3cret&q=1", auth=("u", "s3cret"))
        await client.get("http://example.org/again")  # said once
    [(sign, text)] = told
    assert (sign, text) == (
        "▲",
        "goes to example.org in clear, for all between to read: "
        "cookie, authorization, api_key= in the URL",
    )


async def test_version_and_help() -> None:
    for option, words in (("--version", b"trio-stream"), ("--help", b"tail")):
        done = await trio.run_process(
            [sys.executable, "-m", "trio_stream", option], cwd=PROJECT, capture_stdout=True
        )
        assert words in done.stdout
