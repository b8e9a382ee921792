"""Every keyword of `Stream` that cannot be meant is refused, and says what to do."""

from typing import Any

import pytest

from trio_stream import ServerSentEvent, Stream, stream_app

SECONDS = ["ping", "stall_timeout", "max_duration"]


def refuses(error: type[Exception], match: str, **options: Any) -> None:
    """Both ways to give options say it at once, and not at the first request."""
    with pytest.raises(error, match=match):
        Stream([], **options)
    with pytest.raises(error, match=match):
        stream_app(**options)(lambda stream: None)


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("value", [0, -1, -0.5, float("nan"), float("-inf")])
def test_times_are_more_than_zero(name: str, value: float) -> None:
    refuses(ValueError, f"{name} must be more than 0 seconds, not .*; None", **{name: value})


@pytest.mark.parametrize("name", [*SECONDS, "drain_timeout"])
@pytest.mark.parametrize("value", ["5", True, [5]])
def test_times_are_numbers(name: str, value: Any) -> None:
    refuses(TypeError, f"{name} must be a number of seconds", **{name: value})


@pytest.mark.parametrize("value", [-1, float("nan")])
def test_drain_timeout_may_be_zero_and_not_less(value: float) -> None:
    refuses(ValueError, "drain_timeout must be at least 0 seconds", drain_timeout=value)
    refuses(TypeError, "drain_timeout must be a number of seconds", drain_timeout=None)
    Stream([], drain_timeout=0)


@pytest.mark.parametrize("name", ["buffer", "buffer_bytes"])
def test_bounds_are_whole_numbers_from_one(name: str) -> None:
    refuses(ValueError, f"{name} must be at least 1, not 0", **{name: 0})
    refuses(ValueError, f"{name} must be at least 1, not -5", **{name: -5})
    for value in (1.5, "1", None, True):
        refuses(TypeError, f"{name} must be an int", **{name: value})


@pytest.mark.parametrize("value", ["soon", True])
def test_expires_at_is_a_number(value: Any) -> None:
    refuses(TypeError, "expires_at must be a number of seconds", expires_at=value)


@pytest.mark.parametrize("value", [-1, float("nan")])
def test_expires_at_is_a_time_of_unix(value: float) -> None:
    refuses(ValueError, r"expires_at must be more than 0.*time\.time\(\)", expires_at=value)


@pytest.mark.parametrize("value", [5, "uuid", iter([1])])
def test_ids_is_a_callable(value: Any) -> None:
    refuses(TypeError, "ids must be a callable", ids=value)


@pytest.mark.parametrize("value", ["sorry", 5, {"data": "sorry"}])
def test_error_event_is_an_event_or_makes_one(value: Any) -> None:
    refuses(
        TypeError,
        "error_event must be a callable that takes the exception, or a Server",
        error_event=value,
    )


@pytest.mark.parametrize("value", [5, b"tick"])
def test_event_is_text(value: Any) -> None:
    refuses(TypeError, "an event name is a str", event=value)


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\0b"])
def test_event_is_one_line(value: str) -> None:
    refuses(ValueError, "an event name cannot hold CR, LF or NUL", event=value)


@pytest.mark.parametrize("value", [1.5, "3000", True])
def test_retry_is_whole_milliseconds(value: Any) -> None:
    refuses(TypeError, r"for seconds write int\(seconds \* 1000\)", retry=value)


def test_retry_is_not_negative() -> None:
    refuses(ValueError, "retry is a number of milliseconds from 0", retry=-1)


def test_there_are_four_formats() -> None:
    refuses(ValueError, "there is no format 'xml'; the formats are 'sse'", format="xml")


@pytest.mark.parametrize("format", ["ndjson", "text", "bytes"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("event", "tick"),
        ("retry", 5),
        ("ids", lambda: "1"),
        ("error_event", ServerSentEvent("sorry")),
    ],
)
def test_other_formats_have_no_fields(format: str, name: str, value: Any) -> None:
    refuses(TypeError, r"format='sse'", format=format, **{name: value})


@pytest.mark.parametrize("format", ["ndjson", "text", "bytes"])
async def test_nor_have_their_events(format: Any) -> None:
    data: Any = b"x" if format == "bytes" else "x"
    fields: list[dict[str, Any]] = [{"event": "a"}, {"id": "1"}, {"retry": 5}]
    for field in fields:
        with pytest.raises(TypeError, match="has no event, id or retry"):
            await Stream(format=format).send(data, **field)


def test_a_keyword_that_there_is_not_is_python_s_own_error() -> None:
    with pytest.raises(TypeError, match="heartbeat"):
        Stream([], heartbeat=5)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="heartbeat"):
        stream_app(heartbeat=5)(lambda stream: None)
