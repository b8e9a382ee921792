"""What an `EventSource` sends: headers for each attempt, bodies, cookies and credentials."""

from __future__ import annotations

import os
import shutil
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import certifi
import httpx
import httpx2
import pytest
import trio
from trio.testing import MockClock

from tests.client.scripted import (
    Request,
    ScriptedServer,
    events,
    no_content,
    over_memory,
    redirect,
    reset,
    status,
)
from trio_stream import ConnectionLostError, EventSource, ReadyState, ReconnectPolicy
from trio_stream.client.connecting.http_client import make_client

URL = "http://example.org/"
ONE = b"data: 1\n\n"
EXACT = ReconnectPolicy(backoff=0)


async def run(server: ScriptedServer, url: str = URL, **options: Any) -> list[Request]:
    """What a server is asked until the event source ends."""
    client_options = options.pop("client", {})
    async with (
        over_memory(server, **client_options) as client,
        EventSource(url, client=client, policy=EXACT, **options) as source,
    ):
        async for _ in source:
            pass
    return server.requests


async def test_headers_of_the_user_replace_the_defaults(autojump_clock: MockClock) -> None:
    headers = {"Accept": "text/event-stream, text/html", "X-Key": "1", "Accept-Encoding": "gzip"}
    [request] = await run(ScriptedServer(no_content), headers=headers)
    assert request.headers["accept"] == "text/event-stream, text/html"
    assert request.headers["x-key"] == "1"
    assert request.headers["accept-encoding"] == "gzip"


async def test_headers_of_the_client_are_sent_too(autojump_clock: MockClock) -> None:
    [request] = await run(ScriptedServer(no_content), client={"headers": {"x-key": "1"}})
    assert request.headers["x-key"] == "1"
    assert request.headers["accept"] == "text/event-stream"


def sync_tokens() -> Callable[[], Any]:
    tokens = iter("abc")
    return lambda: {"authorization": f"Bearer {next(tokens)}"}


def async_tokens() -> Callable[[], Any]:
    tokens = iter("abc")

    async def fetch() -> dict[str, str]:
        await trio.sleep(1)
        return {"authorization": f"Bearer {next(tokens)}"}

    return fetch


@pytest.mark.parametrize("tokens", [sync_tokens, async_tokens])
async def test_a_function_gives_each_attempt_fresh_headers(
    autojump_clock: MockClock, tokens: Callable[[], Any]
) -> None:
    requests = await run(ScriptedServer(events(ONE), reset, no_content), headers=tokens())
    sent = [request.headers["authorization"] for request in requests]
    assert sent == ["Bearer a", "Bearer b", "Bearer c"]


async def test_an_error_in_the_function_ends_the_wait(autojump_clock: MockClock) -> None:
    async def no_token() -> dict[str, str]:
        raise LookupError("no token")

    server = ScriptedServer(no_content)
    with pytest.raises(LookupError, match="no token"):
        await run(server, headers=no_token)
    assert server.requests == []


async def test_a_token_server_that_cannot_be_reached_is_a_failed_attempt(
    autojump_clock: MockClock,
) -> None:
    answers = iter([httpx.ConnectError("no route"), None])

    def fetch() -> dict[str, str]:
        if (error := next(answers)) is not None:
            raise error
        return {}

    async with over_memory(ScriptedServer(no_content)) as client:
        await EventSource(URL, client=client, headers=fetch, policy=EXACT).connect()
        assert trio.current_time() == pytest.approx(3)


async def test_a_header_that_cannot_be_sent_is_the_callers_fault(autojump_clock: MockClock) -> None:
    server = ScriptedServer(no_content)
    with pytest.raises(ValueError, match="header"):
        await run(server, headers={"x-key": "a\nb"})
    assert server.requests == []


@pytest.mark.parametrize("url", ["example.org/x", "ftp://example.org/", "http://"])
async def test_a_url_that_is_none_is_the_callers_fault(autojump_clock: MockClock, url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|protocol"):
        await run(ScriptedServer(no_content), url=url)


@dataclass
class Question:
    text: str
    limit: int | None = None


async def test_bodies(autojump_clock: MockClock) -> None:
    [request] = await run(ScriptedServer(events(ONE)), method="post", json=Question("what?"))
    assert request.method == "POST"
    assert request.body == b'{"text":"what?","limit":null}'
    assert request.headers["content-type"] == "application/json"
    headers = {"content-type": "text/plain"}
    [request] = await run(ScriptedServer(events(ONE)), method="POST", content="hé", headers=headers)
    assert request.body == "hé".encode()
    assert request.headers["content-type"] == "text/plain"


async def test_cookies_are_the_clients(autojump_clock: MockClock) -> None:
    server = ScriptedServer(status("503 No", set_cookie="visit=1"), no_content)
    _, second = await run(server)
    assert second.headers["cookie"] == "visit=1"


async def test_authentication_is_the_clients(autojump_clock: MockClock) -> None:
    server = ScriptedServer(events(ONE), no_content)
    requests = await run(server, client={"auth": ("user", "password")})
    assert [r.headers["authorization"] for r in requests] == ["Basic dXNlcjpwYXNzd29yZA=="] * 2


async def test_credentials_stay_on_the_way_to_another_path_of_the_same_server(
    autojump_clock: MockClock,
) -> None:
    server = ScriptedServer(redirect(301, "/new"), events(ONE), no_content)
    for options in (
        {"headers": {"authorization": "Bearer 1"}},
        {"client": {"auth": ("user", "password")}},
    ):
        server.requests.clear()
        requests = await run(server, **options)
        assert [request.target for request in requests] == ["/", "/new", "/new"]
        assert all("authorization" in request.headers for request in requests)


@pytest.mark.parametrize("code", [301, 302])
@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"authorization": "Bearer 1", "cookie": "session=1"}},
        {"client": {"auth": ("user", "password"), "headers": {"cookie": "session=1"}}},
        {"client": {"headers": {"authorization": "Bearer 1"}, "params": {"key": "secret"}}},
    ],
    ids=["of the attempt", "of the client", "in the client's headers"],
)
async def test_credentials_never_go_to_another_server(
    autojump_clock: MockClock, options: dict[str, Any], code: int
) -> None:
    server = ScriptedServer(
        redirect(code, "http://example.com:81/new"),
        events(ONE),
        # Remembered or not, the next attempt begins without a redirect, or with one more.
        *([] if code == 301 else [redirect(code, "http://example.com:81/new")]),
        no_content,
    )
    requests = await run(server, **options)
    ours = [request for request in requests if request.headers["host"] == "example.org"]
    theirs = [request for request in requests if request.headers["host"] == "example.com:81"]
    assert (len(ours), len(theirs)) == ((1, 2) if code == 301 else (2, 2))
    assert all("authorization" in request.headers for request in ours)
    for request in theirs:
        assert request.target == "/new"
        assert "authorization" not in request.headers
        assert "cookie" not in request.headers


async def test_the_other_servers_own_cookies_are_kept_on_the_remembered_way(
    autojump_clock: MockClock,
) -> None:
    server = ScriptedServer(
        redirect(308, "http://example.com/new"),
        status("503 No", set_cookie="theirs=1"),
        no_content,
    )
    requests = await run(server, headers={"cookie": "ours=1"})
    assert [request.headers.get("cookie") for request in requests] == ["ours=1", None, "theirs=1"]


async def test_httpx2s_errors_are_failed_attempts_too(autojump_clock: MockClock) -> None:
    calls = 0

    def answer(request: httpx2.Request) -> httpx2.Response:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise httpx2.ConnectError("no route")
        return httpx2.Response(204)

    transport = httpx2.MockTransport(answer)
    async with httpx2.AsyncClient(transport=transport) as client:
        async with EventSource("http://h/", client=client, policy=EXACT) as source:
            assert source.state is ReadyState.CLOSED
        assert calls == 3
        calls = 0
        with pytest.raises(ConnectionLostError) as caught:
            async with EventSource("http://h/", client=client, reconnect=False):
                pass
        assert isinstance(caught.value.__cause__, httpx2.ConnectError)


def test_certificates_are_read_once_for_all_clients_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A server that relays would stand still meanwhile, for each of its clients."""
    read: list[str | None] = []
    create = httpx.create_ssl_context

    def counted() -> ssl.SSLContext:
        read.append(os.environ.get("SSL_CERT_FILE"))
        return create()

    monkeypatch.setattr(httpx, "create_ssl_context", counted)
    first, second = tmp_path / "first.pem", tmp_path / "second.pem"
    shutil.copy(certifi.where(), first)
    shutil.copy(certifi.where(), second)
    for file in (first, first, second, first):
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        for _ in range(3):
            make_client("https://example.org/")
    assert read == [str(first), str(second)]
    os.utime(first, ns=(1, 1))  # renewed
    make_client("https://example.org/")
    make_client("https://example.org/", http2=True)
    assert read == [str(first), str(second), str(first), str(first)]
