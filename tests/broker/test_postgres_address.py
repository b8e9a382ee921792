"""URLs of PostgreSQL that are none, refused before anything is asked."""

import socket
from math import inf

import pytest
import trio
from psycopg.conninfo import conninfo_to_dict
from trio.testing import MockClock

from trio_stream import BrokerUnavailableError
from trio_stream.broker import open_broker
from trio_stream.broker.postgres.address import connect_timeout, conninfo_of, parse_address


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql://h/db?secret=1", "no PostgreSQL URL"),
        ("postgresql://a b/db", "no PostgreSQL URL"),
        ("postgresql://role:secret@h/db%00", "no PostgreSQL URL"),
        ("postgresql://role:secret@h/db\0", "zero character"),
        ("postgresql://role:secret@h\0/db", "zero character"),
        ("postgresql://role:secret@h:abc/db", "port that is no number"),
        ("postgresql://role:secret@h:99999/db", "no number up to 65535"),
        ("postgresql://role:secret@h,i:0/db", "no number up to 65535"),
        (f"postgresql://h:{'1' * 5000}/db", "no number up to 65535"),
        ("PostgreSQL://role:secret@h/db", "a PostgreSQL URL is postgresql://"),
        ("postgresql://role:secret@h/db?sslmode=secret", "sslmode: sslmode is .* or verify-full"),
        ("postgresql://h/db?target_session_attrs=secret", "target_session_attrs is any, read-"),
        ("postgresql://h/db?ssl_max_protocol_version=secret", "version: libpq's documentation"),
        (
            "postgresql://h/db?ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2",
            "says of ssl_min_protocol_version and ssl_max_protocol_version: ",
        ),
        (
            "postgresql://h/db?sslmode=secret&channel_binding=secret",
            "says of channel_binding and sslmode: ",
        ),
        ("postgresql:///db?service=secret", "says of service: "),
        ("postgresql://h/db?connect_timeout=secret", "connect_timeout: it is a whole number"),
        ("postgresql://h/db?keepalives_idle=1secret", "keepalives_idle: it is a whole number"),
        ("postgresql://h/db?hostaddr=secret", r"hostaddr: it is a number such as 127\.0\.0\.1"),
        ("postgresql://h,i/db?hostaddr=127.0.0.1", "host and hostaddr: there are as many"),
        ("postgresql://h:1,i:2/db?port=1,2,3", "port: there is one for all hosts, or one for each"),
        (
            "postgresql://h/db?sslmode=verify-full&sslrootcert=/secret/file",
            "sslrootcert: it is a file that is there",
        ),
    ],
)
async def test_what_is_no_address_is_refused_without_its_secrets(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as raised:
        parse_address(url)
    assert "secret" not in str(raised.value)
    with pytest.raises(ValueError, match=why):
        async with open_broker(url):
            pass


def test_what_is_one_is_taken() -> None:
    assert parse_address("postgres://h,[::1]:65535/db")["port"] == ",65535"
    assert "port" not in parse_address("postgresql:///db")
    many = (
        "postgresql://role:word@h:1,i:2/db?sslmode=verify-full&sslrootcert=system&connect_timeout=9"
    )
    assert parse_address(many)["sslmode"] == "verify-full"
    assert parse_address("postgresql:///db?host=/run/postgresql&keepalives=1&gssencmode=disable")


def test_who_connects_in_a_thread_does_not_wait_for_ever() -> None:
    said = conninfo_to_dict(conninfo_of("postgresql://h/db"))
    assert said["connect_timeout"] == "10"
    said = conninfo_to_dict(conninfo_of("postgresql://h/db?connect_timeout=9"))
    assert said["connect_timeout"] == "9"


@pytest.mark.parametrize(("query", "seconds"), [("", 10), ("?connect_timeout=3", 3)])
async def test_who_says_nothing_is_given_up_when_the_url_says_so(
    autojump_clock: MockClock, query: str, seconds: float
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = trio.current_time()
        url = f"postgresql://127.0.0.1:{silent.getsockname()[1]}/db{query}"
        with pytest.raises(BrokerUnavailableError, match=f"not answered within {seconds} s"):
            async with open_broker(url):
                pass
        assert trio.current_time() - began == pytest.approx(seconds)


def test_nothing_and_less_are_for_ever_as_for_libpq() -> None:
    for text in ("0", "-1"):
        assert connect_timeout({"connect_timeout": text}) == inf
