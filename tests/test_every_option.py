"""Every public option is given every bad value, and says so at once: its name, and what it may be.

The options are found in the signatures, so that a new one which nobody has put into the table here
fails these tests.
"""

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, fields, is_dataclass
from datetime import timedelta
from functools import partial, wraps
from math import inf, nan
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import hypercorn.config
import pytest
import trio

import trio_stream
import trio_stream.testing
from tests.support.tasks import NothingLeft
from trio_stream import (
    ErrorAnswer,
    EventSource,
    EventStreamDecoder,
    Last,
    ReconnectPolicy,
    Retention,
    ServerSentEvent,
    Stream,
    StreamApp,
    StreamHooks,
    StreamLimits,
    StreamMiddleware,
    SubscriptionHooks,
    encode,
    open_broker,
    presence_topic,
    serve,
    stream_app,
)
from trio_stream.broker.postgres import PostgresEngine
from trio_stream.broker.redis import RedisEngine
from trio_stream.broker.sqlite import SqliteEngine
from trio_stream.stream.options.options import StreamKeywords
from trio_stream.testing import check_broker, connect, lifespan


@dataclass(frozen=True)
class Kind:
    """What an option may be: values that are, and values that are not."""

    good: list[Any]
    bad: list[Any]

    def or_none(self) -> "Kind":
        return Kind([*self.good, None], [value for value in self.bad if value is not None])

    def but(self, *values: Any) -> "Kind":
        """Also bad: these."""
        return Kind([value for value in self.good if value not in values], [*self.bad, *values])

    def though(self, *values: Any) -> "Kind":
        """Not bad: these."""
        return Kind([*self.good, *values], [v for v in self.bad if not is_among(v, values)])


def is_among(value: Any, values: tuple[Any, ...]) -> bool:
    return any(type(value) is type(other) and value == other for other in values)


class Odd:
    """Nothing that any option could be."""

    def __repr__(self) -> str:
        return "Odd" * 1000


async def app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("never called")


async def awaited(*_: object) -> None:
    raise AssertionError("never called")


def generated(*_: object) -> Iterator[None]:
    yield None


async def generated_async(*_: object) -> AsyncIterator[None]:
    yield None


class Awaited:
    """What is called as an async function is."""

    async def __call__(self, *_: object) -> None:
        raise AssertionError("never called")


HUGE = 10**5000  # more digits than Python turns into text
NUMBERS = [nan, inf, -inf, 1e300, -1, -0.5, HUGE, -HUGE]
OBJECTS = [None, True, False, "5", b"5", [5], {"a": 5}, 5j, Odd()]

SECONDS = Kind([0.1, 5, 10**6], [0, *NUMBERS, *OBJECTS])
SECONDS_OR_ZERO = Kind([0, 0.0, 5, 10**6], [*NUMBERS, *OBJECTS])
UNIX_TIME = Kind([2e9, 10**10], [0, 2e9 * 1000, *NUMBERS, *OBJECTS])
COUNT = Kind([1, 5, 10**9], [0, 1.5, 5.0, 2**63, *NUMBERS, *OBJECTS])
COUNT_OR_ZERO = COUNT.though(0)
MILLISECONDS = Kind([0, 5, 2**63 - 1], [1.5, 5.0, 2**63, *NUMBERS, *OBJECTS])
ERROR_STATUS = Kind([400, 404, 599], [0, 99, 200, 204, 304, 399, 600, 429.0, *NUMBERS, *OBJECTS])
FLAG = Kind([True, False], [None, 0, 1, "yes", "", [], Odd(), *NUMBERS])
FUNCTION = Kind([print], [None, True, 0, 5, "print", b"x", [print], Odd(), *NUMBERS])
GENERATORS = (generated, generated_async, partial(generated, 5))
NOT_SYNC = (awaited, Awaited(), partial(awaited, 5), *GENERATORS)
SYNC = FUNCTION.but(*NOT_SYNC)
SYNC_OR_ASYNC = FUNCTION.though(awaited, Awaited()).but(*GENERATORS)
CALLBACK = FUNCTION.though(awaited, generated, generated_async)
PRODUCER = FUNCTION.though(awaited, generated_async).but(generated, partial(generated, 5))
TEXT = Kind(["x", "ä"], [None, True, 0, 5, b"x", ["x"], Odd(), "\ud800"])
LINE = Kind(["x"], [*TEXT.bad, "a\nb", "a\rb", "a\0b"])
ID = LINE.though(0, 5)
NAME = Kind(["x", "a/b"], [*TEXT.bad, "", "x" * 1025])
OBJECT = [None, True, 0, 5, "x", b"x", ["x"], Odd()]
EVENT = Kind([ServerSentEvent("x")], [True, 0, 5, "x", ["x"], Odd(), ServerSentEvent(event="x")])
BAD_EVENTS = [
    ServerSentEvent("x", retry=-1),
    ServerSentEvent("x", event="a\nb"),
    ServerSentEvent("\ud800"),
    ServerSentEvent(Odd()),
]
STREAMS_NOTICE = Kind([*EVENT.good, print, None], [*EVENT.bad, *BAD_EVENTS, *NOT_SYNC])
NOTICE = STREAMS_NOTICE.but(ServerSentEvent("x", id="1"))
HEADERS = Kind(
    [{"x-a": "b"}, [("x-a", "b")]],
    [True, 5, "x-a: b", b"x", [5], ["xy"], [("a",)], [("a", 5)], {"a": None}, {5: "a"}, Odd()],
)
REQUEST_HEADERS = Kind(
    [{"x-a": "b"}, print, awaited, None],
    [True, 5, "x: y", [5], {"a": 5}, {5: "a"}, *GENERATORS],
)
BYTES = Kind([b"x", bytearray(b"x")], [None, True, 5, "x", ["x"], Odd()])
CURSOR = Kind(["5", 5, "earliest", "no id", None], [True, 5.5, b"5", ["5"], Odd()])

LABEL = Kind(["orders", "/orders/{id}"], [*LINE.bad, "", "x" * 101])
EVENT_ID = Kind(["5", 5, "no id", None], [True, 5.5, b"5", ["5"], Odd()])
RETENTION = Kind(
    [None, {}, {"a/*": Retention()}],
    [True, 5, "x", [5], {"a": 5}, {5: Retention()}, {"": Retention()}, Odd(), Retention()],
)
PLACE = Kind(
    [*CURSOR.good, Last(5), timedelta(minutes=2)],
    [*CURSOR.bad, timedelta(0), timedelta(-1), timedelta.max],
)


PRINCIPAL = Kind(
    ["x", "a/*", "a\nb\0", 17, -1, 2**64],
    [None, True, "", "x" * 1025, "\ud800", b"x", 1.5, ["x"], HUGE, -HUGE, Odd()],
)
DISCONNECT: dict[str, Kind | None] = {
    "principal": PRINCIPAL,
    "refuse_for": Kind([0, 0.5, 86_400], [86_401, *SECONDS_OR_ZERO.bad]),
    "runs": FLAG,
}
#: A stream's that each request has one of.
NO_PRINCIPAL = {"principal": Kind([None], [*PRINCIPAL.good, True])}


def choice(*words: str) -> Kind:
    bad = [None, True, 0, 5, "", "other", words[0].upper() + " ", words[0].encode(), [words[0]]]
    return Kind(list(words), [*bad, "\ud800", Odd()])


def of_type(*good: Any) -> Kind:
    return Kind(list(good), OBJECT)


#: What is no option: a value to be sent, or what only the library calls it with. Nobody checks it
#: here; what cannot be sent is told by tests/stream/test_fields.py and others.
DATA = None

STREAM: dict[str, Kind | None] = {
    "format": choice("sse", "ndjson", "text", "bytes"),
    "ping": SECONDS.or_none(),
    "ping_event": Kind(
        [*EVENT.good, print, None],
        [*EVENT.bad, *BAD_EVENTS, ServerSentEvent("x", id="1"), *NOT_SYNC],
    ),
    "first_event_timeout": SECONDS.or_none(),
    "idle_timeout": SECONDS.or_none(),
    "flush_every": SECONDS.or_none(),
    "stall_timeout": SECONDS.or_none(),
    "buffer": COUNT,
    "buffer_bytes": COUNT,
    "max_duration": SECONDS.or_none(),
    "expires_at": UNIX_TIME.or_none(),
    "ids": SYNC.or_none(),
    "error_event": STREAMS_NOTICE,
    "error_answer": of_type(ErrorAnswer(), print).but(*NOT_SYNC).or_none(),
    "error_end": choice("broken"),  # "proper" needs an `error_event`
    "drain_timeout": SECONDS_OR_ZERO,
    "drain_over": SECONDS_OR_ZERO,
    "retry_jitter": Kind([0, 0.5, 1], [101, *NUMBERS, *OBJECTS]),
    "farewell": choice("auto", "proper", "broken"),
    "farewell_event": STREAMS_NOTICE,
    "principal": PRINCIPAL.or_none(),
    "authorize": SYNC_OR_ASYNC.or_none(),
    "recheck": Kind([None], SECONDS.or_none().bad),  # a number needs an `authorize`
    "limits": of_type(StreamLimits()).or_none(),
    "hooks": of_type(StreamHooks()).or_none(),
    "on_end": SYNC.or_none(),
    "label": LABEL.or_none(),
    "hold_headers": FLAG.or_none(),
    "status": Kind([200, 404], [0, 99, 100, 199, 204, 205, 304, 600, 200.0, *NUMBERS, *OBJECTS]),
    "headers": HEADERS.or_none(),
    "tell_id": choice("header", "event").or_none(),
    "compress": Kind(
        ["auto", ("gzip",), ("zstd", "gzip"), ["gzip"]],
        ["gzip", "", "upstream", (), ("br",), ("gzip", 1), {"gzip"}, *NUMBERS, *OBJECTS],
    ).or_none(),
    "read_as": choice("auto", "strict", "sse", "json", "lines", "text").or_none(),
    "max_event_bytes": COUNT,
    "relay_retry": FLAG,
    "event": LINE.or_none().though(print).but(*NOT_SYNC),
    "retry": MILLISECONDS.or_none().though(False),
}
FIELDS: dict[str, Kind | None] = {
    "data": DATA,
    "event": LINE.or_none(),
    "id": ID.or_none(),
    "retry": MILLISECONDS.or_none(),
}
SEVERAL: dict[str, Kind | None] = {
    "values": Kind([["x"], [], ("x", "y")], [None, True, 5, "x", b"x", {}, Odd()]),
    "event": LINE.or_none(),
}
DECODER: dict[str, Kind | None] = {
    "max_event_bytes": COUNT,
    "max_line_bytes": COUNT.or_none(),
    "last_event_id": TEXT.or_none(),
    "on_comment": SYNC.or_none(),
}
TOPIC = NAME.but("a/*", "**")
PUBLISHED: dict[str, Kind | None] = {
    "topic": TOPIC.but("$mine"),
    "event": LINE.or_none(),
    "key": Kind(["x", ""], [*TEXT.bad, "$x", "x" * 1025]),
    "keep": FLAG,
    "but": NAME.or_none(),
}
ADDRESS = Kind(["127.0.0.1:0", ["127.0.0.1:0"], None], [True, 5, b"x", [5], {"a"}, Odd()])

#: Every option of everything public, and what it may be.
TABLE: dict[str, dict[str, Kind | None]] = {
    "Stream": {"source": DATA, **STREAM},
    "Stream.event": {"value": LINE.or_none().though(print).but(*NOT_SYNC)},
    "Stream.retry": {"value": MILLISECONDS.or_none().though(False)},
    "Stream.send": FIELDS,
    "Stream.send_nowait": FIELDS,
    "Stream.send_many": SEVERAL,
    "Stream.send_many_nowait": SEVERAL,
    "Stream.start": {"async_fn": DATA, "args": DATA, "name": DATA},  # as Trio's own
    "Stream.start_soon": {"async_fn": SYNC_OR_ASYNC, "args": DATA, "name": DATA},
    "Stream.wait": {"seconds": SECONDS_OR_ZERO},
    "StreamApp": {
        "callback": CALLBACK,
        "lifespan": SYNC.or_none(),
        **STREAM,
        **NO_PRINCIPAL,
    },
    "stream_app": {
        "callback": CALLBACK.or_none(),
        "lifespan": SYNC.or_none(),
        **STREAM,
        **NO_PRINCIPAL,
    },
    "open_streams": {"principal": PRINCIPAL.or_none()},
    "StreamHooks": {field.name: SYNC.or_none() for field in fields(StreamHooks)},
    "SubscriptionHooks": {field.name: SYNC.or_none() for field in fields(SubscriptionHooks)},
    "Refusal": {
        "status": Kind([401, 599], [0, 200, 204, 303, 399, 600, 403.0, *NUMBERS, *OBJECTS]),
        "body": DATA,
        "location": Kind([None], [True, 5, b"/x", ["/x"], "", "/ä", "/a b", "/a\nb", Odd()]),
        "headers": HEADERS.or_none(),
    },
    "Refusal.answer": {"transport": DATA, "scope": DATA},
    "ErrorAnswer": {
        "status": ERROR_STATUS.or_none(),
        "body": DATA,
        "headers": HEADERS.or_none(),
    },
    "StreamLimits": {
        "total": COUNT.or_none(),
        "per_key": COUNT.or_none(),
        "per_principal": COUNT.or_none(),
        "key": SYNC,
        "refuse": choice("status", "retry"),
        "retry_after": SECONDS,
    },
    "StreamLimits.total": {"value": COUNT.or_none()},
    "StreamLimits.per_key": {"value": COUNT.or_none()},
    "StreamLimits.per_principal": {"value": COUNT.or_none()},
    "StreamLimits.admit_principal": {"principal": DATA, "is_open": DATA},
    "StreamLimits.refuse": {"value": choice("status", "retry")},
    "StreamLimits.admit": {"scope": DATA},
    "StreamLimits.answer": {"transport": DATA, "scope": DATA},
    "StreamMiddleware": {"app": SYNC_OR_ASYNC, "direct": FLAG},
    "serve": {
        "app": SYNC_OR_ASYNC,
        "bind": ADDRESS,
        "config": of_type(hypercorn.config.Config()).or_none(),
        "direct": FLAG,
        "shutdown_trigger": SYNC_OR_ASYNC.or_none(),
        "task_status": DATA,
        "graceful_timeout": SECONDS_OR_ZERO,
        "keep_alive_timeout": SECONDS_OR_ZERO,
        "read_timeout": SECONDS.or_none(),
        "backlog": COUNT,
        "max_requests": COUNT.or_none(),
        "h2_max_concurrent_streams": COUNT,
        "h2_max_inbound_frame_size": Kind([2**14], [*COUNT.bad, 1, 2**24]),
        "include_date_header": FLAG,
        "server_names": DATA,
        "loglevel": Kind(["INFO"], [True, 5, b"x", ["x"]]),
    },
    "client_address": {"scope": DATA},
    "last_event_id": {"scope": DATA},
    "StreamMiddleware.pass_to_app": {"scope": DATA, "receive": DATA, "send": DATA},
    "no_reconnect": {"scope": DATA, "receive": DATA, "send": DATA},
    "encode": {**FIELDS, "compress": FLAG},
    "EncodedEvent": {"data": BYTES.though("x"), "id": DATA, "format": DATA, "compress": FLAG},
    "ServerSentEvent": {**dict.fromkeys(FIELDS, DATA), "comment": DATA},  # it is data itself
    "EventStreamDecoder": DECODER,
    "EventStreamDecoder.feed": {"data": BYTES},
    "EventSource": {
        **DECODER,
        "url": Kind(["http://[::1]/"], [None, True, 5, b"http://x", ["x"], Odd()]),
        "client": of_type().or_none(),
        "method": Kind(["GET", "post"], [*TEXT.bad, "", "a b", "ä", "GET\r\n"]),
        "json": Kind([{"a": 5}, None], [nan, Odd(), "\ud800"]),
        "content": Kind(["x", b"x", None], [True, 5, ["x"], Odd(), "\ud800"]),
        "headers": REQUEST_HEADERS,
        "last_event_id": LINE.or_none(),
        "reconnect": FLAG.or_none(),
        "next_request": SYNC_OR_ASYNC.or_none(),
        "read_as": choice("auto", "strict", "sse", "json", "lines", "text"),
        "policy": of_type(ReconnectPolicy()).or_none(),
        "idle_timeout": SECONDS.or_none(),
        "answer_timeout": SECONDS.or_none(),
        "observer": SYNC.or_none(),
    },
    "EventSource.run": {"sink": DATA},
    "ReconnectPolicy": {
        "delay": SECONDS_OR_ZERO,
        "min_delay": SECONDS_OR_ZERO,
        "backoff": SECONDS_OR_ZERO,
        "max_backoff": SECONDS_OR_ZERO,
        "max_delay": SECONDS_OR_ZERO,
        "max_failures": COUNT.or_none(),
    },
    "ReconnectPolicy.wait": {"failures": DATA, "retry": DATA, "retry_after": DATA},  # a server's
    "open_broker": {
        "url": Kind(["memory://"], [None, True, 5, b"memory://", Odd(), "", "memory", "x://y"]),
        "history": COUNT,
        "history_age": SECONDS.or_none(),
        "history_bytes": COUNT,
        "memory_bytes": COUNT_OR_ZERO,
        "presence_grace": SECONDS_OR_ZERO,
        "retention": RETENTION,
        "once_for": SECONDS,
    },
    "SqliteEngine": {
        "url": Kind(["sqlite:///x.db"], ["", "sqlite:x", "sqlite://", "sqlite:///:memory:"]),
        "retention": DATA,
        "synchronous": choice("full", "normal", "off"),
        "max_topics": COUNT,
    },
    "PostgresEngine": {
        "url": Kind(
            ["postgresql://[::1]/x"],
            ["", "postgresql:x", "http://x", "postgresql://x?secret=1", "postgresql://x:y/z"],
        ),
        "retention": DATA,
        "outage": choice("wait", "raise"),
        "max_topics": COUNT,
    },
    "RedisEngine": {
        "url": Kind(["redis://[::1]"], ["", "redis:x", "http://x", "redis://[::1]/a"]),
        "retention": DATA,
        "outage": choice("wait", "raise"),
        "prefix": TEXT,
        "live_events": COUNT,
        "live_bytes": COUNT,
        "max_topics": COUNT,
    },
    "Broker.publish": {
        **PUBLISHED,
        "data": DATA,
        "once": NAME.or_none(),
        "audience": FLAG,
    },
    "Broker.find_once": {"topic": TOPIC, "once": NAME},
    "Broker.publish_many": {
        **PUBLISHED,
        "once": NAME.or_none(),
        "values": Kind([["x"]], [None, True, 5, "x", b"x", {}]),
    },
    "Broker.read": {
        "topics": NAME.but("$mine"),
        "after": PLACE,
        "last": COUNT.or_none(),
        "limit": COUNT,
        "patterns": FLAG,
    },
    "Last": {"events": COUNT},
    "publisher": {
        "url": Kind(
            ["sqlite:///x.db"], [None, True, 5, b"sqlite:///x", Odd(), "", "x://y", "memory://"]
        ),
        "history": COUNT,
        "history_age": SECONDS.or_none(),
        "history_bytes": COUNT,
        "retention": RETENTION,
        "once_for": SECONDS,
    },
    "publish": {
        **PUBLISHED,
        "connection": Kind([], [None, True, 5, "postgresql://x", Odd()]),
        "data": DATA,
        "once": NAME.or_none(),
        "once_for": SECONDS,
        "ring": FLAG,
    },
    "TopicPublisher.disconnect": DISCONNECT,
    "TopicPublisher.publish": {**PUBLISHED, "data": DATA, "once": NAME.or_none()},
    "TopicPublisher.publish_many": {
        **PUBLISHED,
        "once": NAME.or_none(),
        "values": Kind([["x"]], [None, True, 5, "x", b"x", {}]),
    },
    "publish_app": {
        "broker": Kind([], [None, True, 5, "x", Odd()]),
        "authorize": SYNC_OR_ASYNC,
        "max_bytes": COUNT,
    },
    "ready_app": {"broker": Kind([], [None, True, 5, "x", Odd()])},
    "inspector_app": {
        "authorize": SYNC_OR_ASYNC,
        "broker": Kind([None], [True, 5, "x", Odd()]),
        "payloads": FLAG,
    },
    "Broker.forget": {"topic": TOPIC.but("$mine"), "id": EVENT_ID.but(None)},
    "Retention": {"events": COUNT, "age": SECONDS.or_none(), "bytes": COUNT},
    "Retention.of": {"topic": DATA},
    "Broker.subscribe": {
        "topics": NAME.but("$mine"),
        "after": PLACE,
        "overflow": choice("all", "latest"),
        "presence": NAME.or_none(),
        "presence_data": Kind([None], ["x" * 1023, nan, "\ud800", Odd(), 5]),  # 5 is nobody's
        "patterns": FLAG,
        "gap": NOTICE,
        "stale_after": SECONDS.or_none(),
        "map": SYNC.or_none().but(app),
        "place": NOTICE,
        "snapshot": SYNC_OR_ASYNC.or_none(),
        "statistics": NOTICE,
        "hooks": of_type(SubscriptionHooks()).or_none(),
    },
    "Broker.resumable": {
        "key": NAME,
        "producer": PRODUCER.or_none(),
        "after": CURSOR,
        "linger": SECONDS_OR_ZERO.or_none(),
        "gap": NOTICE,
        "done": NOTICE,
        "failed": NOTICE,
        "stale_after": SECONDS.or_none(),
        "principal": PRINCIPAL.or_none(),
        "presence": NAME.or_none(),
        "if_running": choice("join", "refuse", "replace"),
    },
    "Broker.disconnect": DISCONNECT,
    "Broker.start_resumable": {
        "key": NAME,
        "producer": PRODUCER,
        "linger": SECONDS_OR_ZERO.or_none(),
        "principal": PRINCIPAL.or_none(),
        "if_running": choice("join", "refuse", "replace"),
    },
    "Broker.stop_resumable": {"key": NAME},
    "Broker.source": {
        "pattern": NAME.but("$mine"),
        "fn": PRODUCER,
        "linger": SECONDS_OR_ZERO.or_none(),
        "each": FLAG,
        "failed": NOTICE,
    },
    "SourceRun.send": {
        "data": DATA,
        "event": LINE.or_none(),
        "key": PUBLISHED["key"],
        "topic": TOPIC.but("$mine").or_none(),
    },
    "Broker.run": {"key": NAME},
    "Broker.presence": {"topic": TOPIC},
    "Broker.presence_event": {"topic": TOPIC},
    "Broker.update_presence": {
        "topic": TOPIC,
        "name": NAME,
        "data": Kind(
            [None, 5, {"a": [True]}, "x" * 1022], ["x" * 1023, nan, "\ud800", Odd(), {"a": inf}]
        ),
    },
    "Broker.topic_statistics": {"topic": TOPIC},
    "Broker.subscribers": {"topic": NAME, "most": COUNT},
    "Broker.topics": {"find": TEXT, "most": COUNT},
    "Broker.backchannel": {"name": NAME, "own": NAME, "run": SYNC_OR_ASYNC},
    "ResumableRun.send": {"data": DATA, "event": LINE.or_none()},
    "presence_topic": {"topic": NAME},
    "connect": {
        "app": SYNC_OR_ASYNC,
        "path": Kind(["x"], TEXT.bad),
        "method": TEXT,
        "query": Kind(["", {"a": "b"}], [None, True, 5, b"x", ["x"], Odd()]),
        "headers": HEADERS.or_none(),
        "body": Kind([b"", [b"x"]], [None, True, 5, "x", Odd()]),
        "last_event_id": TEXT.or_none(),
        "http_version": choice("1.0", "1.1", "2"),
        "scope": Kind([{}, None], [True, 5, "x", ["x"], Odd()]),
        "socket_buffer": COUNT,
        "shield_sends": FLAG,
        "exit_timeout": SECONDS_OR_ZERO,
        "raise_app_exceptions": FLAG,
    },
    "lifespan": {"app": SYNC_OR_ASYNC},
    "check_broker": {"open_broker": SYNC},
    "Client.drip": {"size": COUNT, "seconds": SECONDS_OR_ZERO},
}

#: Made by the library, for its users to read or to call: nobody gives these any options.
MADE = {"Broker", "Client", "OpenStream", "Outcome", "ReadyState", "Resumable", "ResumableRun"}
MADE |= {"SourceRun"}
MADE |= {"InspectorApp", "PublishApp", "ReadyApp", "Subscription", "TopicEvent", "TopicPublisher"}
#: Of the dataclasses, those that users make.
GIVEN = {"Last", "ReconnectPolicy", "Retention", "StreamHooks", "SubscriptionHooks"}
#: Methods of those that only the library calls.
OURS = {
    *("Resumable.run", "ResumableRun.run", "ResumableRun.stop"),
    *("Subscription.run", "Subscription.fail", "Subscription.fall_behind", "Subscription.pass_by"),
}


def public() -> Iterator[tuple[str, Any]]:
    for module in (trio_stream, trio_stream.testing):
        for name in module.__all__:
            yield name, getattr(module, name)
    yield from (
        ("SqliteEngine", SqliteEngine),
        ("PostgresEngine", PostgresEngine),
        ("RedisEngine", RedisEngine),
    )


def found() -> Iterator[tuple[str, set[str]]]:
    """Whatever takes options, and their names."""
    for name, thing in public():
        if not inspect.isclass(thing):
            yield name, parameters(thing)
        elif not issubclass(thing, BaseException):
            is_result = is_dataclass(thing) and name not in GIVEN
            if name not in MADE and not is_result:
                yield name, parameters(thing)
            if not issubclass(thing, str) and not name.endswith("Engine"):
                yield from of_members(name, thing)


def of_members(name: str, kind: type) -> Iterator[tuple[str, set[str]]]:
    ours = [vars(base) for base in kind.__mro__ if base.__module__.startswith("trio_stream.")]
    for member, value in {name: value for base in ours for name, value in base.items()}.items():
        if not member.startswith("_") and f"{name}.{member}" not in OURS:
            if isinstance(value, property) and value.fset is not None:
                yield f"{name}.{member}", {"value"}
            elif inspect.isfunction(value):
                yield f"{name}.{member}", parameters(value) - {"self"}


def parameters(function: Any) -> set[str]:
    names = set()
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is not parameter.VAR_KEYWORD:
            names.add(name)
        elif "StreamKeywords" in str(parameter.annotation):
            names |= set(StreamKeywords.__annotations__)
    return {name for name in names if not name.startswith("_")}


def test_there_is_no_option_that_is_not_in_the_table() -> None:
    missing = {
        owner: sorted(names - TABLE.get(owner, {}).keys())
        for owner, names in found()
        if names - TABLE.get(owner, {}).keys()
    }
    assert missing == {}


def test_there_is_nothing_in_the_table_that_is_no_option() -> None:
    options = dict(found())
    passed_on = {"serve", "stream_app"}  # by other names than those in their signatures
    gone = {
        owner: sorted(names.keys() - options.get(owner, set()))
        for owner, names in TABLE.items()
        if owner not in passed_on and names.keys() - options.get(owner, set())
    }
    assert gone == {}


def test_of_each_function_it_is_said_whether_it_may_be_async() -> None:
    """One that nobody awaits would be called, and would never run."""
    silent = [
        f"{owner}.{name}"
        for owner, names in TABLE.items()
        for name, kind in names.items()
        if kind is not None
        and is_among(print, tuple(kind.good))
        and not is_among(awaited, (*kind.good, *kind.bad))
    ]
    assert silent == []


Use = Callable[..., Any]


def with_stream(use: Callable[..., Any]) -> Use:
    async def call(**options: Any) -> None:
        stream = Stream()
        result = use(stream, **options)
        if inspect.isawaitable(result):
            await result
        stream.close()

    return call


def with_broker(use: Callable[..., Any]) -> Use:
    async def call(**options: Any) -> None:
        async with open_broker() as broker:
            result = use(broker, **options)
            if inspect.isawaitable(result):
                await result

    return call


def with_publisher(use: Callable[..., Any]) -> Use:
    async def call(**options: Any) -> None:
        with TemporaryDirectory() as folder, trio_stream.publisher(f"sqlite:///{folder}/x") as it:
            await trio.to_thread.run_sync(partial(use, it, **options))

    return call


def void(_: object) -> None:
    pass


def entering(make: Callable[..., AbstractAsyncContextManager[Any]]) -> Use:
    async def call(**options: Any) -> None:
        async with make(**options):
            pass

    return call


def setting(make: Callable[[], Any], name: str) -> Use:
    def call(value: Any) -> None:
        setattr(make(), name, value)

    return call


async def start_in_stream(stream: Stream, async_fn: Any = print) -> None:
    stream.start_soon(async_fn)


async def connected(**options: Any) -> None:
    async with connect(**{"app": Stream([]), **options}):
        pass


async def drip(**options: Any) -> None:
    async with connect(Stream([])) as client:
        client.drip(**options)


async def send_in_run(broker: Any, **options: Any) -> None:
    async def producer(run: Any) -> None:
        await run.send("x", **options)

    failures: list[BaseException] = []

    async def noting(run: Any) -> None:
        try:
            await producer(run)
        except (TypeError, ValueError) as exc:
            failures.append(exc)

    async for _ in broker.resumable("x", noting):
        pass
    if failures:
        raise failures[0]


async def send_in_source(broker: Any, **options: Any) -> None:
    failures: list[BaseException] = []
    sent = trio.Event()

    async def source(run: Any) -> None:
        try:
            await run.send("x", **options)
        except (TypeError, ValueError) as exc:
            failures.append(exc)
        sent.set()
        await trio.sleep_forever()

    broker.source("s", source)
    async with broker.subscribe("s") as events, trio.open_nursery() as nursery:
        nursery.start_soon(anext, events)
        await sent.wait()
        nursery.cancel_scope.cancel()
    if failures:
        raise failures[0]


async def serving(**options: Any) -> None:
    async def at_once() -> None:
        await trio.lowlevel.checkpoint()

    given = {
        "app": stream_app(print),
        "bind": "127.0.0.1:0",
        "shutdown_trigger": at_once,
        **options,
    }
    await serve(**given)


USES: dict[str, Use] = {
    "Stream": lambda **options: Stream(None, **options),
    "Stream.event": setting(Stream, "event"),
    "Stream.retry": setting(Stream, "retry"),
    "Stream.send": with_stream(lambda stream, **options: stream.send("x", **options)),
    "Stream.send_nowait": with_stream(lambda stream, **opts: stream.send_nowait("x", **opts)),
    "Stream.send_many": with_stream(
        lambda stream, values=("x",), **opts: stream.send_many(values, **opts)
    ),
    "Stream.send_many_nowait": with_stream(
        lambda stream, values=("x",), **opts: stream.send_many_nowait(values, **opts)
    ),
    "Stream.start_soon": with_stream(start_in_stream),
    "Stream.wait": with_stream(lambda stream, **options: stream.wait(**options)),
    "StreamApp": lambda **options: StreamApp(**{"callback": print, **options}),
    "stream_app": lambda callback=print, **options: (
        stream_app(**options)(print) if options else stream_app(callback)
    ),
    "open_streams": trio_stream.open_streams,
    "StreamHooks": StreamHooks,
    "SubscriptionHooks": SubscriptionHooks,
    "ErrorAnswer": ErrorAnswer,
    "Refusal": trio_stream.Refusal,
    "StreamLimits": StreamLimits,
    "StreamLimits.total": setting(StreamLimits, "total"),
    "StreamLimits.per_key": setting(StreamLimits, "per_key"),
    "StreamLimits.per_principal": setting(StreamLimits, "per_principal"),
    "StreamLimits.refuse": setting(StreamLimits, "refuse"),
    "StreamMiddleware": lambda **options: StreamMiddleware(**{"app": app, **options}),
    "serve": serving,
    "encode": lambda **options: encode("x", **options),
    "EncodedEvent": lambda **options: trio_stream.EncodedEvent(**{"data": b"x", **options}),
    "EventStreamDecoder": EventStreamDecoder,
    "EventStreamDecoder.feed": lambda data: EventStreamDecoder().feed(data),
    "EventSource": lambda **options: EventSource(**{"url": "http://[::1]/", **options}),
    "ReconnectPolicy": ReconnectPolicy,
    "open_broker": entering(open_broker),
    "SqliteEngine": lambda url="sqlite:///x.db", **options: SqliteEngine(
        url, Retention(), **options
    ),
    "PostgresEngine": lambda url="postgresql://[::1]/x", **options: PostgresEngine(
        url, Retention(), **options
    ),
    "RedisEngine": lambda url="redis://[::1]", **options: RedisEngine(url, Retention(), **options),
    "Broker.publish": with_broker(
        lambda broker, topic="x", **options: broker.publish(topic, "x", **options)
    ),
    "Broker.publish_many": with_broker(
        lambda broker, topic="x", values=("x",), **options: broker.publish_many(
            topic, values, **options
        )
    ),
    "Broker.find_once": with_broker(
        lambda broker, **options: broker.find_once(**{"topic": "x", "once": "x", **options})
    ),
    "Broker.read": with_broker(
        lambda broker, topics="x", **options: broker.read(topics, **options)
    ),
    "Last": lambda events: Last(events),
    "Retention": Retention,
    "publisher": lambda url="sqlite:///x.db", **options: trio_stream.publisher(url, **options),
    "publish": lambda **options: trio_stream.publish(
        **{
            "connection": SimpleNamespace(pgconn=None, execute=lambda query, values: None),
            "topic": "x",
            "data": "x",
            **options,
        }
    ),
    "TopicPublisher.disconnect": with_publisher(
        lambda topics, principal="x", **options: topics.disconnect(principal, **options)
    ),
    "TopicPublisher.publish": with_publisher(
        lambda topics, topic="x", **options: topics.publish(topic, "x", **options)
    ),
    "TopicPublisher.publish_many": with_publisher(
        lambda topics, topic="x", values=("x",), **options: topics.publish_many(
            topic, values, **options
        )
    ),
    "publish_app": with_broker(
        lambda broker, **options: void(
            trio_stream.publish_app(**{"broker": broker, "authorize": print, **options})
        )
    ),
    "ready_app": with_broker(
        lambda broker, **options: void(trio_stream.ready_app(**{"broker": broker, **options}))
    ),
    "inspector_app": lambda **options: void(
        trio_stream.inspector_app(**{"authorize": print, **options})
    ),
    "Broker.forget": with_broker(
        lambda broker, topic="x", **options: broker.forget(topic, **options)
    ),
    "Broker.subscribe": with_broker(
        lambda broker, topics="x", **options: broker.subscribe(
            topics, **{"overflow": "latest", **options}
        )
    ),
    "Broker.resumable": with_broker(
        lambda broker, **options: broker.resumable(**{"key": "x", "producer": None, **options})
    ),
    "Broker.disconnect": with_broker(
        lambda broker, principal="x", **options: broker.disconnect(principal, **options)
    ),
    "Broker.source": with_broker(
        lambda broker, **options: broker.source(**{"pattern": "x/*", "fn": print, **options})
    ),
    "SourceRun.send": with_broker(send_in_source),
    "Broker.start_resumable": with_broker(
        lambda broker, **options: broker.start_resumable(
            **{"key": "x", "producer": awaited, **options}
        )
    ),
    "Broker.stop_resumable": with_broker(lambda broker, key: broker.stop_resumable(key)),
    "Broker.run": with_broker(lambda broker, key: broker.run(key)),
    "Broker.presence_event": with_broker(lambda broker, topic: broker.presence_event(topic)),
    "Broker.update_presence": with_broker(
        lambda broker, **options: broker.update_presence(
            **{"topic": "x", "name": "x", "data": 1, **options}
        )
    ),
    "Broker.presence": with_broker(lambda broker, topic: broker.presence(topic)),
    "Broker.backchannel": with_broker(
        lambda broker, **options: void(
            broker.backchannel(**{"name": "x", "own": "y", "run": trio.sleep, **options})
        )
    ),
    "Broker.subscribers": with_broker(
        lambda broker, topic="x", **options: void(broker.subscribers(topic, **options))
    ),
    "Broker.topics": with_broker(lambda broker, **options: void(broker.topics(**options))),
    "Broker.topic_statistics": with_broker(lambda broker, topic: broker.topic_statistics(topic)),
    "ResumableRun.send": with_broker(send_in_run),
    "presence_topic": presence_topic,
    "connect": connected,
    "lifespan": entering(lifespan),
    "check_broker": check_broker,
    "Client.drip": drip,
}

#: By what the message calls an option, where that is not its name.
CALLED = {
    "Last.events": "Last",
    "Broker.forget.id": "id must be",
    "Retention.events": "history",
    "Retention.age": "history_age",
    "Retention.bytes": "history_bytes",
    "topics": "topic",
    "value": "",
    "id": "an event id",
    "event": "an event name",
    "presence": "a name to be present under",
    "Broker.update_presence.name": "a name to be present under",
    "Broker.update_presence.data": "presence data",
    "url": "://",
    "EncodedEvent.data": "bytes",
    "EventStreamDecoder.feed.data": "bytes",
    "EventSource.url": "url",
}

#: Good values with which more would be done than to take them.
NOT_TRIED = {
    "StreamApp.callback",
    "check_broker.open_broker",
    "connect.app",
    "lifespan.app",
    "serve.app",
    "serve.shutdown_trigger",
    "serve.config",
    "serve.bind",
    "Stream.start_soon.async_fn",
    "Stream.wait.seconds",
}

cases = pytest.mark.parametrize(
    ("owner", "name"),
    [
        pytest.param(owner, name, id=f"{owner}.{name}")
        for owner, names in TABLE.items()
        for name, kind in names.items()
        if kind is not DATA
    ],
)


async def give(owner: str, name: str, value: Any) -> None:
    result = USES[owner](**{name: value})
    if inspect.isawaitable(result):
        await result


@cases
async def test_every_bad_value_is_refused(owner: str, name: str, no_task_left: NothingLeft) -> None:
    kind = TABLE[owner][name]
    assert kind is not None
    for value in kind.bad:
        with pytest.raises((TypeError, ValueError)) as caught:
            await give(owner, name, value)
        message = str(caught.value)
        assert CALLED.get(f"{owner}.{name}", CALLED.get(name, name)) in message
        assert len(message) < 600


#: How many arguments a function is called with, where that is not one.
TAKES = {
    "ids": 0,
    "app": 3,
    "shutdown_trigger": 0,
    "next_request": 2,
    "EventSource.headers": 0,
    "snapshot": 0,
    "place": 0,
    "done": 0,
    "publish_app.authorize": 2,
    "Broker.source.failed": 2,
    "Stream.start_soon.async_fn": 0,
    "check_broker.open_broker": 0,
}

FUNCTIONS: list[Callable[..., None]] = [
    lambda: None,
    lambda a: None,
    lambda a, b: None,
    lambda a, b, c: None,
    lambda a, b, c, d: None,
]


class Method:
    def by_count(self, count: int) -> Callable[..., None]:
        return [self.none, self.one, self.two, self.three, self.four][count]

    def none(self) -> None: ...
    def one(self, a: object) -> None: ...
    def two(self, a: object, b: object) -> None: ...
    def three(self, a: object, b: object, c: object) -> None: ...
    def four(self, a: object, b: object, c: object, d: object) -> None: ...


class Called:
    def __init__(self, function: Callable[..., None]) -> None:
        self.function = function

    def __call__(self, given: object) -> None: ...


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        pytest.param(owner, name, id=f"{owner}.{name}")
        for owner, names in TABLE.items()
        for name, kind in names.items()
        if kind is not DATA and is_among(print, tuple(kind.good))
    ],
)
async def test_of_each_function_it_is_seen_whether_it_can_be_called(owner: str, name: str) -> None:
    """When it is given, and not when there is a request, or no more."""
    takes = TAKES.get(f"{owner}.{name}", TAKES.get(name, 1))
    for count, function in enumerate(FUNCTIONS):
        # As many as it is called with, but for one that is given by `partial`.
        more = partial(FUNCTIONS[count + 1], 5) if count < 4 else function
        for wrong in (function, more, Method().by_count(count)):
            if count != takes:
                with pytest.raises(TypeError) as caught:
                    await give(owner, name, wrong)
                message = str(caught.value)
                assert CALLED.get(f"{owner}.{name}", CALLED.get(name, name)) in message
                assert ": it is called with " in message
            elif f"{owner}.{name}" not in NOT_TRIED:
                await give(owner, name, wrong)


def _named(given: object, *, more: object) -> None: ...


def _optional(given: object, more: object = None, *, other: object = None) -> None: ...


def _wrapping(function: Callable[..., None]) -> Callable[..., None]:
    @wraps(function)
    def wrapper(given: object) -> None:
        function(given, 5)

    return wrapper


@pytest.mark.parametrize(
    "function",
    [
        *(_optional, partial(_named, more=5), _wrapping(FUNCTIONS[2]), Called(print)),
        *(Called, int, str.upper, len, Method().one, partial(Method.one, Method())),
    ],
)
def test_what_can_be_called(function: Callable[..., None]) -> None:
    Stream(on_end=function)
    Stream(function)


@pytest.mark.parametrize(
    ("function", "hint"),
    [
        (_named, "and _named cannot be; functools.partial binds what else it takes"),
        (partial(_optional, given=5), "and partial cannot be; give it parameters"),
        (Method.one, "and one cannot be; functools.partial binds what else it takes"),
        (trio.Event, "and Event cannot be; give it parameters"),
    ],
)
def test_what_cannot_be_called(function: Callable[..., None], hint: str) -> None:
    with pytest.raises(
        TypeError, match="on_end must be a callable that takes the stream"
    ) as caught:
        Stream(on_end=function)
    assert hint in str(caught.value)


@cases
async def test_every_good_value_is_taken(owner: str, name: str) -> None:
    kind = TABLE[owner][name]
    assert kind is not None
    if f"{owner}.{name}" not in NOT_TRIED:
        for value in kind.good:
            await give(owner, name, value)
