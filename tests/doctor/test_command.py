"""The command `trio-stream doctor`, run as its users do."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from tests.client.scripted import Exchange, ScriptedServer, over_tcp, redirect, status
from tests.client.test_tail import PROJECT, WITHOUT_RICH, Done, _start
from tests.doctor.servers import (
    ONE,
    TWO,
    by_target,
    chunk,
    ending,
    ends,
    head,
    healthy,
    no_content,
    silent,
)
from tests.support.certificates import Certificate
from tests.support.hypercorn_process import hypercorn
from trio_stream.__main__ import main
from trio_stream.doctor import answer, examine
from trio_stream.doctor.complaints import COMPLAINTS

PAGE = PROJECT / "docs/doctor.md"

Doctor = Callable[..., Awaitable[Done]]


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Run the command to its end, in a thread of its own; its output is not a terminal.

    Nothing is late, for this machine may be.
    """
    monkeypatch.setattr(answer, "LATE", 3600.0)
    monkeypatch.setattr(examine, "_PATIENCE", 3600.0)
    monkeypatch.setattr(examine, "_RESUMING", 60.0)

    async def run(*arguments: str, **env: str) -> Done:
        for name, value in {"COLUMNS": "80", "NO_COLOR": "1", **env}.items():
            monkeypatch.setenv(name, value)
        try:
            with trio.fail_after(60):
                code = await trio.to_thread.run_sync(main, ["doctor", *arguments])
        except SystemExit as exc:
            code = int(str(exc.code))
        return Done(code, *capsys.readouterr())

    return run


def test_the_page_has_each_complaint_and_what_to_do() -> None:
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (\w+) \| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    assert rows == [(c.code, c.level, c.todo) for c in COMPLAINTS.values()]


async def test_tells_what_is_wrong_and_what_to_do(doctor: Doctor) -> None:
    server = ScriptedServer(ending(b"event: ping\n\ndata: 1\n"))
    async with over_tcp(server) as url:
        done = await doctor(url)
    assert re.sub(r"\d+ ms|\d+\.\d s", "N ms", done.stdout) == (
        f"✓ answer        200 from {url}\n"
        "✓ content type  text/event-stream; charset=utf-8\n"
        "✓ charset       utf-8\n"
        "▲ version       six-connections: HTTP/1.1\n"
        "                → Browsers open six connections to a host over HTTP/1.1, in all\n"
        "                  tabs together: the seventh waits. Offer HTTP/2 over TLS, or\n"
        "                  share one stream among tabs.\n"
        "✓ first byte    the head after N ms, the first byte of its body after N ms\n"
        "○ buffering     nothing came to tell it by\n"
        "✓ proxies       nothing says that it is in between; it is told not to hold\n"
        "                back, keep or change anything\n"
        "✗ events        without-data: 1 event without data: ping\n"
        "                → Browsers do not dispatch an event without `data:`. Send at\n"
        "                  least an empty line of it.\n"
        "✓ lines         all are fields or comments\n"
        "✓ pings         never silent for longer than N ms\n"
        "✓ retry         3 s\n"
        "✗ last event    unfinished-event: the last event is not finished\n"
        "                → End each event with a blank line, the last one, too: without\n"
        "                  it no client sees it.\n"
        "✓ end           a proper end, after N ms\n"
        "2 wrong, 1 advice, 1 unknown\n"
    )
    assert done.stderr == "… listening for 20 s; Ctrl-C ends it\n"
    assert done.returncode == 1


async def test_what_is_in_order_is_told_by_the_exit_code(doctor: Doctor) -> None:
    async with over_tcp(ScriptedServer(ending(TWO))) as url:
        done = await doctor(url)
    assert done.returncode == 0
    assert done.stdout.endswith("nothing wrong, 1 advice\n")


async def test_on_a_narrow_terminal_each_line_fits(doctor: Doctor) -> None:
    async with over_tcp(ScriptedServer(ending(b"event: ping\n\n"))) as url:
        done = await doctor(url, COLUMNS="40")
    assert "✗ events\n  without-data: 1 event without data:\n  ping\n" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 40


async def test_in_colour_on_a_terminal(doctor: Doctor) -> None:
    async with over_tcp(ScriptedServer(ending(b"event: ping\n\n"))) as url:
        done = await doctor(url, NO_COLOR="", FORCE_COLOR="1", TERM="xterm-256color")
    assert "\x1b[1;31m✗ events" in done.stdout
    assert "\x1b[32m✓ answer" in done.stdout


async def test_json_has_what_was_found_and_the_time_of_each_event(doctor: Doctor) -> None:
    async with over_tcp(ScriptedServer(ending(TWO + b"Data: 3\n\n"))) as url:
        done = await doctor(url, "--json")
    report = json.loads(done.stdout)
    assert (report["url"], report["wrong"]) == (url, 0)
    assert {f["code"] for f in report["findings"]} == {None, "six-connections", "unknown-field"}
    [finding] = [f for f in report["findings"] if f["code"] == "unknown-field"]
    assert finding == {
        "subject": "lines",
        "level": "advice",
        "code": "unknown-field",
        "seen": "1 line of unknown fields: Data",
        "todo": COMPLAINTS["unknown-field"].todo,
    }
    seen = report["main"]
    assert (seen["status"], seen["http_version"], seen["end"]) == (200, "HTTP/1.1", "proper")
    assert seen["headers"]["cache-control"] == "no-store, no-transform"
    assert [(event["event"], event["id"]) for event in seen["events"]] == [
        ("message", "1"),
        ("message", "2"),
    ]
    first, second = (event["at"] for event in seen["events"])
    assert 0 < seen["head_after"] <= seen["first_byte_after"] <= first <= second
    assert sum(arrival["bytes"] for arrival in seen["arrivals"]) == 52
    assert report["resumed"]["status"] == 204


async def test_over_http2_streams_share_a_connection(
    doctor: Doctor, certificate: Certificate
) -> None:
    async with hypercorn("tests.client.apps:few", certificate=certificate) as server:
        done = await doctor("-k", server.url)
    assert "✓ version       HTTP/2, so that all streams of a browser share a" in done.stdout
    assert done.returncode == 1


async def test_no_secret_and_no_payload_is_told(doctor: Doctor) -> None:
    body = b'{"s3cret": 1}\nid: s3\x01cret\ndata: s3cret\n\n'
    script = by_target(
        {"/here": redirect(307, "/there?key=s3cret")},
        ends(body, set_cookie="s=s3cret", x_api_key="s3cret"),
    )
    async with over_tcp(ScriptedServer(script)) as url:
        place = url.replace("http://", "http://user:s3cret@") + "/here?token=s3cret"
        for options in (("-v",), ("--json",)):
            done = await doctor(place, "-H", "X-Api-Key: s3cret", *options)
            assert done.returncode == 1
            assert "s3cret" not in done.stdout + done.stderr
    assert "set-cookie" in done.stdout


async def test_the_request_is_made_as_that_of_tail(doctor: Doctor) -> None:
    server = ScriptedServer(ending(ONE))
    async with over_tcp(server) as url:
        host = url.removeprefix("http://")
        await doctor(f"ann:word@{host}", "-H", "X-Key: a: b", "--seconds", "1")
        await doctor(host, "-d", '{"q": 1}')
    first, second = server.requests[0], server.requests[-1]
    assert first.headers["accept"] == "text/event-stream"
    assert "gzip" in first.headers["accept-encoding"]
    assert first.headers["authorization"].startswith("Basic ")
    assert first.headers["x-key"] == "a: b"
    assert (second.method, second.body) == ("POST", b'{"q": 1}')
    assert second.headers["content-type"] == "application/json"


async def test_a_post_is_sent_once(doctor: Doctor) -> None:
    server = ScriptedServer(ends(TWO))
    async with over_tcp(server) as url:
        await doctor(url, "-d", "x")
        await doctor(url, "-X", "DELETE")
    assert len(server.requests) == 2


async def test_it_listens_for_as_long_as_it_is_told(doctor: Doctor) -> None:
    async with over_tcp(ScriptedServer(healthy)) as url:
        done = await doctor(url, "--seconds", "0.2", "--json")
    report = json.loads(done.stdout)
    assert report["main"]["ended_after"] >= 0.2
    assert report["main"]["end"] == "open"
    levels = {f["subject"]: f["level"] for f in report["findings"]}
    assert levels.get("pings", "unknown") == "unknown"


async def test_works_without_the_extra_for_colours() -> None:
    command = [sys.executable, "-c", WITHOUT_RICH, "doctor"]
    async with over_tcp(ScriptedServer(ending(TWO))) as url:
        done = await trio.run_process(
            [*command, url], cwd=PROJECT, capture_stdout=True, capture_stderr=True
        )
    assert done.stdout.decode().startswith(f"✓ answer        200 from {url}\n")


@pytest.mark.parametrize(
    "url", ["ftp://h/", "http://", "http://u:s3cret@h:x/?key=s3cret", "ws://h/", ""]
)
async def test_a_url_that_is_none_is_told(doctor: Doctor, url: str) -> None:
    done = await doctor(url)
    assert done.returncode == 1
    assert "unreachable: no answer from" in done.stdout
    assert "s3cret" not in done.stdout + done.stderr


async def test_who_is_sent_to_a_websocket_asks_none(doctor: Doctor) -> None:
    async with over_tcp(ScriptedServer(redirect(302, "ws://127.0.0.1:1/?key=s3cret"))) as url:
        done = await doctor(url)
    assert done.returncode == 1
    told = " ".join(done.stdout.split())  # which wraps where its width ends
    assert "ws://127.0.0.1:1/ is a WebSocket's address: an event stream's" in told


@pytest.mark.parametrize("arguments", [[], ["h", "--seconds", "0"], ["h", "-H", "x"]], ids=str)
async def test_misuse_is_told_with_the_usage(doctor: Doctor, arguments: list[str]) -> None:
    done = await doctor(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: trio-stream doctor")


async def test_ctrl_c_ends_it_without_a_word() -> None:
    server = ScriptedServer(silent)
    command = [sys.executable, "-m", "trio_stream", "doctor"]
    async with over_tcp(server) as url, trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(_start, [*command, url])
        with trio.fail_after(60):
            while not server.requests:
                await trio.sleep(0.01)
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 130
            assert process.stderr is not None
            rest = b"".join([chunk async for chunk in process.stderr])
        assert b"Traceback" not in rest
        nursery.cancel_scope.cancel()


async def test_ctrl_c_has_it_tell_what_was_seen_until_then() -> None:
    async def one(exchange: Exchange) -> None:
        await head(exchange)
        await chunk(exchange, b"retry: 3000\n\n" + ONE)
        await exchange.until_closed()

    command = [sys.executable, "-m", "trio_stream", "doctor", "-v"]
    async with over_tcp(ScriptedServer(one)) as url, trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(_start, [*command, url])
        assert process.stderr is not None
        assert process.stdout is not None
        with trio.fail_after(60):
            told = b""
            while b"< HTTP/1.1 200" not in told:
                told += await process.stderr.receive_some()
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 130
            report = b"".join([piece async for piece in process.stdout]).decode()
        nursery.cancel_scope.cancel()
    assert report.startswith(f"✓ answer        200 from {url}\n")


async def test_what_is_beside_is_compared(doctor: Doctor) -> None:
    async with over_tcp(ScriptedServer(ending(TWO))) as url:
        done = await doctor(url, "--beside", f"{url}/other")
    assert re.search(r"beside .* 2 of the same events, \d+ ms later than", done.stdout)
    async with over_tcp(ScriptedServer(by_target({"/no": status("404 No")}, ending(TWO)))) as url:
        done = await doctor(url, "--beside", f"{url}/no")
    assert f"○ beside        {url}/no: status 404\n" in done.stdout


@pytest.mark.parametrize(
    ("answer", "codes"),
    [
        (no_content, ["no-more"]),
        (
            status("200 OK", b'{"error": "s3cret"}', content_type="application/json"),
            ["not-an-event-stream"],
        ),
        (
            status("200 OK", b"<!doctype html>\n\n", content_type="text/html"),
            ["not-an-event-stream"],
        ),
        (status("200 OK", b"", content_type="text/html"), ["not-an-event-stream"]),
    ],
    ids=["204", "JSON", "page", "empty page"],
)
async def test_of_what_is_no_stream_nothing_else_is_said(
    answer: Any, codes: list[str], doctor: Doctor
) -> None:
    async with over_tcp(ScriptedServer(answer)) as url:
        done = await doctor("--json", url)
    told = [f["code"] for f in json.loads(done.stdout)["findings"]]
    assert [code for code in told if code not in (None, "six-connections")] == codes
    assert "s3cret" not in done.stdout
    assert done.returncode == 1
