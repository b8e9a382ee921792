"""Names, patterns and cursors."""

import pytest

from trio_stream.broker.contract.topics import Selection, check_topic, parse_cursor


@pytest.mark.parametrize(
    ("pattern", "matched", "unmatched"),
    [
        ("prices/*", ["prices/AAPL", "prices/*x", "prices/a\nb"], ["prices", "prices/a/b", "x/a"]),
        ("prices/**", ["prices/a", "prices/a/b/c"], ["prices", "price/a"]),
        ("*/eur", ["a/eur", "☃/eur"], ["eur", "a/b/eur", "a/EUR", "$presence/eur"]),
        ("**", ["a", "a/b"], ["$presence/a", "$x"]),
        ("**/x", ["a/x", "a/b/x"], ["x"]),
        ("$presence/*", ["$presence/room"], ["$presence/room/1"]),
        ("a.b/*", ["a.b/c"], ["aXb/c"]),
        ("a*b", ["a*b"], ["axb"]),
        ("a//*", ["a//b"], ["a/b"]),
    ],
)
def test_patterns(pattern: str, matched: list[str], unmatched: list[str]) -> None:
    selection = Selection([pattern])
    assert [name for name in matched if name not in selection] == []
    assert [name for name in unmatched if name in selection] == []


@pytest.mark.parametrize("name", ["", "*", "**", "a/*", "**/a", "é" * 513, "\ud800"])
def test_what_cannot_be_published_to(name: str) -> None:
    with pytest.raises(ValueError, match=r"topic|pattern"):
        check_topic(name)


@pytest.mark.parametrize("name", [None, 5, b"a", ["a"]])
def test_a_topic_is_text(name: object) -> None:
    with pytest.raises(TypeError, match="a topic is a str"):
        check_topic(name)


def test_a_subscription_needs_a_topic() -> None:
    with pytest.raises(ValueError, match="at least one topic"):
        Selection([])


@pytest.mark.parametrize("after", ["0", "7", "9223372036854775807", 12])
def test_ids_are_numbers(after: str | int) -> None:
    assert parse_cursor(after) == int(after)


@pytest.mark.parametrize(
    "after", ["", "-1", "+1", "1 ", "1_0", "٣", "1e3", "9" * 19, "9" * 30, -1, True, 1.0, b"1", []]
)
def test_what_is_no_id(after: object) -> None:
    assert parse_cursor(after) is None
