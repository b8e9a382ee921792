"""When an `EventSource` comes back, when it does not, and with what."""

from __future__ import annotations

import logging
import time
from email.utils import formatdate

import httpx
import pytest
import trio
from trio.testing import MockClock

from tests.client.scripted import (
    Exchange,
    Script,
    ScriptedServer,
    broken,
    events,
    no_content,
    over_memory,
    over_tcp,
    redirect,
    reset,
    status,
)
from trio_stream import (
    AttemptEnded,
    AttemptOpened,
    ConnectionLostError,
    ContentTypeError,
    EventSource,
    ReadyState,
    ReconnectPolicy,
    RedirectError,
    UpstreamStatusError,
)

URL = "http://example.org/"

#: No chance in the waits, so that they can be compared.
EXACT = ReconnectPolicy(backoff=0)

ONE = b"data: 1\n\n"


async def silence(exchange: Exchange) -> None:
    await exchange.until_closed()


async def opened_and_silent(exchange: Exchange) -> None:
    await exchange.events(b"data: 1\n\ndata: half an ev")
    await exchange.until_closed()


async def all_data(server: ScriptedServer, **options: object) -> list[str]:
    """What an event source gives until it ends."""
    options = {"policy": EXACT, **options}
    async with (
        over_memory(server) as client,
        EventSource(URL, client=client, **options) as source,  # type: ignore[arg-type]
    ):
        return [event.data async for event in source]


# After what it reconnects, and how long it waits.


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(events(ONE), id="a proper end"),
        pytest.param(broken(ONE), id="a stream that breaks off"),
        pytest.param(reset, id="no answer"),
        pytest.param(status("500 Error"), id="500"),
        pytest.param(status("502 Bad Gateway"), id="502"),
        pytest.param(status("503 Unavailable"), id="503"),
        pytest.param(status("599 Odd"), id="599"),
        pytest.param(status("429 Too Many Requests"), id="429"),
        pytest.param(redirect(302, "http://example.org:port/"), id="a location that is no URL"),
    ],
)
async def test_reconnects_after(autojump_clock: MockClock, script: Script) -> None:
    server = ScriptedServer(script, events(b"data: 2\n\n"), no_content)
    assert (await all_data(server))[-1] == "2"
    # 3 s: Chromium's own wait, while the server has not said another.
    assert server.waits == [3, 3]


async def test_reconnects_after_silence_within_an_event(autojump_clock: MockClock) -> None:
    server = ScriptedServer(opened_and_silent, events(b"data: 2\n\n"), no_content)
    assert await all_data(server, idle_timeout=40) == ["1", "2"]
    assert server.waits == [43, 3]


async def test_reconnects_when_there_is_no_answer_in_time(autojump_clock: MockClock) -> None:
    server = ScriptedServer(silence, no_content)
    assert await all_data(server, idle_timeout=40) == []
    assert server.waits == [43]


async def test_an_answer_may_be_waited_for_less_long_than_events_are(
    autojump_clock: MockClock,
) -> None:
    server = ScriptedServer(silence, opened_and_silent, no_content)
    assert await all_data(server, answer_timeout=5, idle_timeout=40) == ["1"]
    assert server.waits == [8, 43]


async def test_with_an_answer_timeout_silence_may_last(autojump_clock: MockClock) -> None:
    """Also that in which it is found out what an answer is, which is there already."""

    async def patient(exchange: Exchange) -> None:
        await exchange.head(content_type="text/plain")
        await trio.sleep(100)
        await exchange.send(ONE)

    server = ScriptedServer(silence, patient, no_content)
    found = await all_data(server, answer_timeout=5, idle_timeout=None, read_as="auto")
    assert (found, server.waits) == (["1"], [8, 103])


async def test_comments_are_no_silence(autojump_clock: MockClock) -> None:
    async def quiet(exchange: Exchange) -> None:
        await exchange.events()
        for _ in range(10):
            await trio.sleep(39)
            await exchange.send(b":\n")

    server = ScriptedServer(quiet, no_content)
    assert await all_data(server, idle_timeout=40) == []
    assert server.waits == [393]


async def test_a_program_that_is_slow_to_receive_is_no_silent_server(
    autojump_clock: MockClock,
) -> None:
    async def busy(exchange: Exchange) -> None:
        await exchange.events()
        for _ in range(3):
            await exchange.send(ONE)
            await trio.sleep(1)

    server = ScriptedServer(busy, no_content)
    received = 0
    async with (
        over_memory(server) as client,
        EventSource(URL, client=client, idle_timeout=5) as source,
    ):
        async for _ in source:
            received += 1
            await trio.sleep(100)
    assert received == 3


async def test_without_an_idle_timeout_silence_may_last(autojump_clock: MockClock) -> None:
    async def patient(exchange: Exchange) -> None:
        await exchange.events()
        await trio.sleep(100_000)
        await exchange.send(ONE)

    server = ScriptedServer(patient, no_content)
    assert await all_data(server, idle_timeout=None) == ["1"]


async def test_says_the_id_in_force_when_it_comes_back(autojump_clock: MockClock) -> None:
    server = ScriptedServer(
        events(b"id: 7\ndata: a\n\n"),
        events(b"data: b\n\n"),  # an id stays in force over any number of connections
        events("id: été\n\n".encode()),  # without data it is no event, but an id
        events(b"id: never dispatched\ndata: c\n"),
        events(b"id\n\n"),  # the empty id takes the header away
        no_content,
    )
    assert await all_data(server) == ["a", "b"]
    assert server.ids == [None, "7", "7", "été", "été", None]


async def test_begins_with_the_id_it_was_given(autojump_clock: MockClock) -> None:
    server = ScriptedServer(no_content)
    await all_data(server, last_event_id="41")
    assert server.ids == ["41"]


@pytest.mark.parametrize(
    "event_id",
    [b"a\x01b", b"\x7f", b"a\x0bb", b"x" * 8001, b"  \t "],
    ids=["SOH", "DEL", "VT", "8001 bytes", "blanks"],
)
async def test_an_id_that_no_header_can_carry_is_left_out(
    autojump_clock: MockClock, event_id: bytes
) -> None:
    server = ScriptedServer(events(b"id: %b\ndata: 1\n\n" % event_id), events(ONE), no_content)
    assert await all_data(server) == ["1", "1"]
    assert server.ids == [None, None, None]


async def test_blanks_around_an_id_are_not_carried(autojump_clock: MockClock) -> None:
    server = ScriptedServer(events(b"id:  5 \ndata: 1\n\n"), no_content)
    await all_data(server)
    assert server.ids == [None, "5"]


async def test_an_id_with_nul_is_no_id(autojump_clock: MockClock) -> None:
    server = ScriptedServer(events(b"id: 1\ndata: 1\n\nid: 2\0\ndata: 2\n\n"), no_content)
    assert await all_data(server) == ["1", "2"]
    assert server.ids == [None, "1"]


async def test_waits_as_long_as_the_servers_retry_says(autojump_clock: MockClock) -> None:
    server = ScriptedServer(
        events(b"retry: 20000\n\n"),
        reset,  # it stays in force
        events(b"retry: 0\ndata: 1\n\n"),
        events(b"retry: 1e3\n\nretry: -5\n\nretry: 5 \n\n"),  # these say nothing
        no_content,
    )
    await all_data(server)
    assert server.waits == [20, 20, 0.5, 0.5]


async def test_a_retry_of_ten_to_the_thirty_is_cut_down(autojump_clock: MockClock) -> None:
    server = ScriptedServer(events(b"retry: 1%b\n\n" % (b"0" * 30)), no_content)
    await all_data(server)
    assert server.waits == [3600]


async def test_failures_in_a_row_widen_the_window_of_chance(autojump_clock: MockClock) -> None:
    policy = ReconnectPolicy(delay=2, backoff=10, max_backoff=35)
    server = ScriptedServer(*[reset] * 30, no_content)
    await all_data(server, policy=policy)
    windows = [10, 20, 35, *[35] * 27]
    assert all(2 <= wait <= 2 + limit for wait, limit in zip(server.waits, windows, strict=True))
    # Full jitter: somewhere in the window, not near its end. 1 in 10^7 that this fails by chance.
    assert min(server.waits[3:]) < 2 + 35 / 2 < max(server.waits[3:])


async def test_bytes_from_the_server_end_a_row_of_failures(autojump_clock: MockClock) -> None:
    ends: list[AttemptEnded] = []
    server = ScriptedServer(reset, reset, broken(b":\n"), events(b":\n"), events(b""), no_content)
    await all_data(server, observer=lambda record: remember_ends(ends, record))
    # A stream that is opened and dropped without a byte is as good as none.
    assert [end.failures for end in ends] == [1, 2, 1, 0, 1, 1]


def remember_ends(ends: list[AttemptEnded], record: AttemptOpened | AttemptEnded) -> None:
    if isinstance(record, AttemptEnded):
        ends.append(record)


@pytest.mark.parametrize("line", ["429 Too Many Requests", "503 Unavailable", "500 Error"])
async def test_retry_after_in_seconds_is_waited_for(autojump_clock: MockClock, line: str) -> None:
    server = ScriptedServer(status(line, retry_after="120"), events(ONE), no_content)
    await all_data(server)
    assert server.waits == [120, 3]


async def test_retry_after_as_a_date_is_waited_for(autojump_clock: MockClock) -> None:
    date = formatdate(time.time() + 120, usegmt=True)
    server = ScriptedServer(status("503 Unavailable", retry_after=date), no_content)
    await all_data(server)
    assert server.waits[0] == pytest.approx(120, abs=5)


@pytest.mark.parametrize(
    "value", ["soon", "-1", "1.5", "Wed, 21 Oct 2015 07:28:00 GMT", "", "٣", "Mon, 99 Foo 9999"]
)
async def test_retry_after_that_says_nothing_changes_nothing(
    autojump_clock: MockClock, value: str
) -> None:
    server = ScriptedServer(status("503 Unavailable", retry_after=value), no_content)
    await all_data(server)
    assert server.waits == [3]


async def test_retry_after_never_shortens_the_wait(autojump_clock: MockClock) -> None:
    server = ScriptedServer(
        events(b"retry: 50000\n\n"), status("503 Unavailable", retry_after="1"), no_content
    )
    await all_data(server)
    assert server.waits == [50, 50]


@pytest.mark.parametrize("value", ["3601", "9" * 40, "9" * 400])
async def test_a_retry_after_beyond_all_bounds_is_an_error(
    autojump_clock: MockClock, value: str
) -> None:
    with pytest.raises(UpstreamStatusError) as caught:
        await all_data(ScriptedServer(status("503 Unavailable", retry_after=value)))
    assert caught.value.retry_after == value


# After what it does not.


async def test_204_ends_it_for_good(autojump_clock: MockClock) -> None:
    server = ScriptedServer(events(ONE), no_content)
    async with over_memory(server) as client, EventSource(URL, client=client) as source:
        assert [event.data async for event in source] == ["1"]
        assert source.state is ReadyState.CLOSED
        with pytest.raises(trio.EndOfChannel):
            await source.receive()
    assert len(server.requests) == 2


async def test_204_at_once_is_a_source_without_events(autojump_clock: MockClock) -> None:
    server = ScriptedServer(no_content)
    assert await all_data(server) == []
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "line",
    [
        "201 Created",
        "205 Reset",
        "206 Partial",
        "304 Same",
        "400 Bad",
        "401 Who",
        "403 No",
        "404 No",
    ],
)
async def test_another_status_is_an_error(autojump_clock: MockClock, line: str) -> None:
    server = ScriptedServer(status(line, b"" if line.startswith("304") else b"what is wrong"))
    with pytest.raises(UpstreamStatusError) as caught:
        await all_data(server)
    assert caught.value.status == int(line[:3])
    assert caught.value.body == ("" if line.startswith("304") else "what is wrong")
    assert len(server.requests) == 1


async def test_another_status_later_is_an_error_too(autojump_clock: MockClock) -> None:
    server = ScriptedServer(events(ONE), status("404 Gone"))
    async with over_memory(server) as client, EventSource(URL, client=client) as source:
        await source.receive()
        with pytest.raises(UpstreamStatusError, match="answered 404"):
            await source.receive()
        assert source.state is ReadyState.CLOSED
        with pytest.raises(trio.ClosedResourceError, match="answered 404"):
            await source.receive()


@pytest.mark.parametrize(
    "content_type", ["text/html", "text/event-streams", "application/json", "text/plain"]
)
async def test_another_content_type_is_an_error(
    autojump_clock: MockClock, content_type: str
) -> None:
    server = ScriptedServer(status("200 OK", ONE, content_type=content_type))
    with pytest.raises(ContentTypeError, match=f"'{content_type}'") as caught:
        await all_data(server)
    assert caught.value.content_type == content_type
    assert len(server.requests) == 1


async def test_no_content_type_is_an_error(autojump_clock: MockClock) -> None:
    with pytest.raises(ContentTypeError, match="named no content type"):
        await all_data(ScriptedServer(status("200 OK", ONE)))


@pytest.mark.parametrize(
    "content_type",
    [
        "text/event-stream; charset=utf-8",
        "Text/Event-Stream",
        "text/event-stream ; charset=latin-1",
    ],
)
async def test_parameters_of_the_content_type_say_nothing(
    autojump_clock: MockClock, content_type: str
) -> None:
    body = "data: ü\n\n".encode()  # UTF-8, whatever the charset
    server = ScriptedServer(status("200 OK", body, content_type=content_type), no_content)
    assert await all_data(server) == ["ü"]


async def test_gives_up_after_the_policys_number_of_failures(autojump_clock: MockClock) -> None:
    policy = ReconnectPolicy(max_failures=3, backoff=0)
    server = ScriptedServer(events(ONE), reset)
    with pytest.raises(ConnectionLostError, match="3 failures in a row") as caught:
        await all_data(server, policy=policy)
    assert caught.value.failures == 3
    assert isinstance(caught.value.__cause__, httpx.RemoteProtocolError)
    assert len(server.requests) == 4


async def test_gives_up_on_a_server_that_only_opens(autojump_clock: MockClock) -> None:
    with pytest.raises(ConnectionLostError, match="the stream ended"):
        await all_data(ScriptedServer(events(b"")), policy=ReconnectPolicy(max_failures=2))


async def test_gives_up_with_the_status_that_was_last(autojump_clock: MockClock) -> None:
    with pytest.raises(UpstreamStatusError, match="503"):
        await all_data(ScriptedServer(status("503 No")), policy=ReconnectPolicy(max_failures=2))


# Requests that may not be repeated.


@pytest.mark.parametrize("options", [{"method": "POST"}, {"reconnect": False}], ids=str)
async def test_is_not_repeated(autojump_clock: MockClock, options: dict[str, object]) -> None:
    server = ScriptedServer(events(ONE), events(ONE))
    assert await all_data(server, **options) == ["1"]
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("script", "error"),
    [
        pytest.param(broken(ONE), ConnectionLostError, id="breaks off"),
        pytest.param(reset, ConnectionLostError, id="no answer"),
        pytest.param(silence, ConnectionLostError, id="silence"),
        pytest.param(status("503 No", retry_after="1"), UpstreamStatusError, id="503"),
        pytest.param(status("429 Slow", retry_after="1"), UpstreamStatusError, id="429"),
    ],
)
async def test_a_post_that_fails_is_an_error(
    autojump_clock: MockClock, script: Script, error: type[Exception]
) -> None:
    server = ScriptedServer(script)
    with pytest.raises(error):
        await all_data(server, method="POST", json=[1])
    assert len(server.requests) == 1


async def test_silence_is_named_as_the_cause(autojump_clock: MockClock) -> None:
    with pytest.raises(ConnectionLostError, match="sent nothing for 300 s") as caught:
        await all_data(ScriptedServer(opened_and_silent), reconnect=False)
    assert isinstance(caught.value.__cause__, trio.TooSlowError)


async def test_a_post_is_repeated_when_told_to(autojump_clock: MockClock) -> None:
    server = ScriptedServer(
        events(b"id: 1\ndata: 1\n\n"), reset, status("503 No", retry_after="9"), no_content
    )
    assert await all_data(server, method="POST", content="question", reconnect=True) == ["1"]
    assert [request.body for request in server.requests] == [b"question"] * 4
    assert server.ids == [None, "1", "1", "1"]
    assert server.waits == [3, 3, 9]


# What an observer and the log are told.


async def test_an_observer_sees_each_attempt(autojump_clock: MockClock) -> None:
    records: list[AttemptOpened | AttemptEnded] = []
    server = ScriptedServer(
        redirect(302, "/there?key=secret#secret"),
        events(b"id: 1\n" + ONE * 2),
        status("503 No"),
        no_content,
    )
    await all_data(server, observer=records.append)
    opened, ended, refused, over = records
    assert isinstance(opened, AttemptOpened)
    assert (opened.number, opened.url) == (1, URL + "there")
    assert opened.last_event_id is None
    assert isinstance(ended, AttemptEnded)
    assert (ended.number, ended.opened, ended.events, ended.error) == (1, True, 2, None)
    assert (ended.failures, ended.delay) == (0, 3)
    assert isinstance(refused, AttemptEnded)
    assert (refused.number, refused.opened, refused.failures, refused.delay) == (2, False, 1, 3)
    assert isinstance(refused.error, UpstreamStatusError)
    assert isinstance(over, AttemptEnded)
    assert (over.number, over.opened, over.error, over.delay) == (3, False, None, None)


async def test_an_observer_sees_that_the_program_closed_it(autojump_clock: MockClock) -> None:
    records: list[AttemptOpened | AttemptEnded] = []
    async with (
        over_memory(ScriptedServer(opened_and_silent)) as client,
        EventSource(URL, client=client, observer=records.append) as source,
    ):
        await source.receive()
        await trio.sleep(5)
    ended = records[-1]
    assert isinstance(ended, AttemptEnded)
    assert (ended.error, ended.delay, ended.events, ended.seconds) == (None, None, 1, 5)


async def test_an_observer_that_is_async_is_not_left_unawaited(autojump_clock: MockClock) -> None:
    async def note(record: object) -> None:
        raise AssertionError("never awaited")

    server = ScriptedServer(events(b"data: a\n\n"), no_content)
    with pytest.raises(TypeError, match="observer= returned a coroutine"):
        await all_data(server, observer=lambda record: note(record))


async def test_what_an_observer_raises_reaches_who_receives(autojump_clock: MockClock) -> None:
    def raising(record: AttemptOpened | AttemptEnded) -> None:
        if isinstance(record, AttemptEnded):
            raise KeyError(record.number)

    server = ScriptedServer(events(ONE))
    with pytest.raises(KeyError):
        await all_data(server, method="POST", observer=raising)
    assert len(server.requests) == 1


async def test_failures_are_logged_without_secrets(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    server = ScriptedServer(reset, no_content)
    with caplog.at_level(logging.WARNING, "trio_stream"):
        async with over_memory(server) as client:
            url = "http://user:password@example.org/a?token=secret"
            async with EventSource(url, client=client, policy=EXACT):
                pass
    [record] = caplog.records
    assert "http://example.org/a" in record.getMessage()
    assert "connecting again in 3 s" in record.getMessage()
    assert "password" not in record.getMessage()
    assert "secret" not in record.getMessage()


# Over a real socket, once.


async def test_reconnects_over_tcp_after_a_reset_and_a_refused_connection() -> None:
    policy = ReconnectPolicy(delay=0.02, backoff=0)

    async def cut_short(exchange: Exchange) -> None:
        await exchange.events(b"id: 1\ndata: 1\n\n")
        assert isinstance(exchange.stream, trio.SocketStream)
        # SO_LINGER with no time: the connection is reset.
        exchange.stream.setsockopt(1, 13, b"\x01\0\0\0\0\0\0\0")

    server = ScriptedServer(cut_short, events(b"id: 2\ndata: 2\n\n"), no_content)
    with trio.fail_after(60):
        async with over_tcp(server) as url, EventSource(url, policy=policy) as source:
            assert [event.data async for event in source] == ["1", "2"]
    assert server.ids == [None, "1", "2"]

    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    refused = ReconnectPolicy(delay=0.02, backoff=0, max_failures=3)
    with pytest.raises(ConnectionLostError, match="3 failures"):
        async with EventSource(f"http://127.0.0.1:{port}", policy=refused):
            pass


# Redirects.


async def test_permanent_redirects_are_remembered_and_others_are_not(
    autojump_clock: MockClock,
) -> None:
    server = ScriptedServer(
        redirect(301, "/new"),
        redirect(308, "/newer"),
        redirect(302, "/elsewhere"),
        redirect(301, "/not from here"),
        events(ONE),
        redirect(307, "/elsewhere"),
        events(b"data: 2\n\n"),
        redirect(303, "/elsewhere"),
        no_content,
    )
    assert await all_data(server) == ["1", "2"]
    targets = [request.target for request in server.requests]
    first, second, third = targets[:5], targets[5:7], targets[7:]
    assert first == ["/", "/new", "/newer", "/elsewhere", "/not%20from%20here"]
    assert second == third == ["/newer", "/elsewhere"]
    # A redirect is followed at once.
    assert server.waits == [0, 0, 0, 0, 3, 0, 3, 0]


async def test_a_circle_of_redirects_is_named(autojump_clock: MockClock) -> None:
    async def swap(exchange: Exchange) -> None:
        await redirect(302, "/b" if exchange.request.target == "/a" else "/a")(exchange)

    server = ScriptedServer(swap)
    with pytest.raises(RedirectError, match=r"in a circle: http://example\.org/ -> ") as caught:
        await all_data(server)
    assert caught.value.urls[:4] == (URL, URL + "a", URL + "b", URL + "a")
    assert len(server.requests) == 21


async def test_redirects_without_end_are_named(autojump_clock: MockClock) -> None:
    async def further(exchange: Exchange) -> None:
        await redirect(307, f"{exchange.request.target}x")(exchange)

    server = ScriptedServer(further)
    with pytest.raises(RedirectError, match="redirects without end"):
        await all_data(server)
    assert len(server.requests) == 21


async def test_a_redirect_to_what_is_not_http_is_named(autojump_clock: MockClock) -> None:
    with pytest.raises(RedirectError, match=r"not HTTP \(ftp\)"):
        await all_data(ScriptedServer(redirect(301, "ftp://example.org/")))


async def test_the_body_of_a_redirect_is_not_waited_for(autojump_clock: MockClock) -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.head("302 Found", location="/there")
        while True:
            await exchange.send(b"x" * 65536)

    server = ScriptedServer(endless, events(ONE), no_content)
    assert await all_data(server, reconnect=False) == ["1"]


@pytest.mark.parametrize(
    ("code", "then"), [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")]
)
async def test_a_redirected_post_is_repeated_where_the_standard_says(
    autojump_clock: MockClock, code: int, then: str
) -> None:
    server = ScriptedServer(redirect(code, "/new"), events(ONE), events(ONE), no_content)
    await all_data(server, method="POST", content="question", reconnect=True)
    first, redirected, again, _ = server.requests
    assert (first.method, redirected.method) == ("POST", then)
    assert redirected.body == (b"question" if then == "POST" else b"")
    # Only where the request stayed the same is the new address the one to repeat it at.
    assert again.target == ("/new" if code == 308 else "/")
    assert again.method == "POST"
