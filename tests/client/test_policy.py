"""The reconnection policy by itself, and what it reads from headers."""

from __future__ import annotations

import dataclasses
import pickle
import time
from email.utils import formatdate
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_stream import (
    ConnectionLostError,
    ContentTypeError,
    ReconnectPolicy,
    RedirectError,
    UpstreamStatusError,
)
from trio_stream.client.connecting.last_event_id import to_header
from trio_stream.client.connecting.reconnect import read_retry_after

seconds = st.floats(0, 1e6)
policies = st.builds(
    ReconnectPolicy,
    delay=seconds,
    min_delay=st.floats(0, 1),
    backoff=seconds,
    max_backoff=seconds,
    max_delay=st.floats(1, 1e6),
)


@given(policies, st.integers(0, 10_000), st.integers(0, 2**63) | st.none(), seconds)
def test_a_wait_is_never_shorter_than_asked_nor_longer_than_the_window(
    policy: ReconnectPolicy, failures: int, retry: int | None, retry_after: float
) -> None:
    wait = policy.wait(failures, retry, retry_after)
    asked = policy.delay
    if retry is not None:
        asked = max(policy.min_delay, min(retry / 1000, policy.max_delay))
    assert wait >= max(asked, retry_after)
    window = 0 if failures == 0 else policy.max_backoff
    assert wait <= max(asked, retry_after) + window


def test_without_failures_there_is_no_chance_in_it() -> None:
    assert {ReconnectPolicy().wait(0) for _ in range(20)} == {3.0}
    assert {ReconnectPolicy().wait(0, 1500) for _ in range(20)} == {1.5}


@pytest.mark.parametrize("retry", [0, 1, 10, 499])
def test_a_server_cannot_ask_for_a_busy_loop(retry: int) -> None:
    assert ReconnectPolicy().wait(0, retry) == 0.5
    assert ReconnectPolicy(min_delay=2).wait(0, retry) == 2
    assert ReconnectPolicy(min_delay=0).wait(0, retry) == retry / 1000


def test_what_the_program_itself_asks_for_has_no_floor() -> None:
    assert ReconnectPolicy(delay=0).wait(0) == 0


def test_the_ceiling_is_above_the_floor() -> None:
    assert ReconnectPolicy(min_delay=5, max_delay=2).wait(0, 0) == 2


def test_the_window_doubles_up_to_its_maximum() -> None:
    policy = ReconnectPolicy(delay=0, backoff=1, max_backoff=60)
    widest = [max(policy.wait(failures) for _ in range(2000)) for failures in range(1, 9)]
    for seen, window in zip(widest, [1, 2, 4, 8, 16, 32, 60, 60], strict=True):
        # 2000 draws all below 99 % of the window: 1 in 10^8.
        assert window * 0.99 < seen <= window


@pytest.mark.parametrize("name", ["delay", "min_delay", "backoff", "max_backoff", "max_delay"])
@pytest.mark.parametrize("value", [-1, nan, inf])
def test_a_number_of_seconds_must_be_one(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at .*seconds, not"):
        ReconnectPolicy(**{name: value})


def test_max_failures_is_at_least_one() -> None:
    with pytest.raises(ValueError, match="max_failures"):
        ReconnectPolicy(max_failures=0)


def test_it_is_a_value() -> None:
    assert ReconnectPolicy(delay=1) == ReconnectPolicy(delay=1)
    assert hash(ReconnectPolicy()) == hash(ReconnectPolicy())
    with pytest.raises(dataclasses.FrozenInstanceError):
        ReconnectPolicy().delay = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        (None, 0),
        ("", 0),
        ("0", 0),
        (" 120 ", 120),
        ("1" + "0" * 30, 1e30),
        ("9" * 5000, inf),
        ("-5", 0),
        ("1.5", 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 21 Oct 99999 07:28:00 GMT", 0),
        ("nonsense", 0),
    ],
)
def test_retry_after(value: str | None, wait: float) -> None:
    assert read_retry_after(value) == wait


def test_retry_after_as_a_date_in_each_of_its_forms() -> None:
    later = time.time() + 1000
    forms = [
        formatdate(later, usegmt=True),
        time.strftime("%A, %d-%b-%y %H:%M:%S GMT", time.gmtime(later)),
        time.asctime(time.gmtime(later)),
    ]
    for form in forms:
        assert read_retry_after(form) == pytest.approx(1000, abs=3)


@given(st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"])))
def test_every_id_is_a_header_or_none(event_id: str) -> None:
    value = to_header(event_id)
    if value is not None:
        assert value == event_id.strip(" \t")
        assert value
        assert all(char == "\t" or (char >= " " and char != "\x7f") for char in value)


@pytest.mark.parametrize(
    "error",
    [
        ContentTypeError("http://h/a?b", "text/html"),
        RedirectError(["http://h/a", "http://h/b"], "in a circle"),
        UpstreamStatusError("http://h/", 503, "7", "what"),
        ConnectionLostError("http://h/", 3, "why"),
    ],
)
def test_errors_survive_pickling(error: Exception) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), vars(copy)) == (str(error), vars(error))


def test_messages_show_no_secret() -> None:
    url = "https://user:password@h/a?token=secret#fragment"
    for error in (
        ContentTypeError(url, "text/html"),
        RedirectError([url, url], "in a circle"),
        UpstreamStatusError(url, 401),
        ConnectionLostError(url, 1, "why"),
    ):
        assert "https://h/a" in str(error)
        assert "password" not in str(error)
        assert "secret" not in str(error)
    assert "a malformed URL" in str(UpstreamStatusError("http://[", 401))
