"""URLs of PostgreSQL that are none, refused before anything is asked."""

import pytest

from trio_stream.broker import open_broker
from trio_stream.broker.postgres.address import parse_address


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
