"""What is shown of a URL: never what a secret can be in."""

import logging
import pickle

import httpx
import pytest

from trio_stream import (
    ConnectionLostError,
    ContentTypeError,
    RedirectError,
    Stream,
    UpstreamStatusError,
)
from trio_stream.privacy import log_excerpt, shown_text, shown_url
from trio_stream.testing import connect

SECRET = "http://user:s3cret@example.org:8080/path?key=s3cret#s3cret"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (SECRET, "http://example.org:8080/path"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("https://s3cret@example.org", "https://example.org"),
        ("//user:s3cret@example.org/a", "//example.org/a"),
        ("/relative?key=s3cret", "/relative"),
        ("?key=s3cret", ""),
        ("http://[::1]:80/a?b", "http://[::1]:80/a"),
        ("https://example.org/@name/feed", "https://example.org/@name/feed"),
        ("user:s3cret@example.org/path", "a malformed URL"),
        ("http://user:s3/cret@example.org/", "a malformed URL"),
        ("http://user:s3?cret@example.org/", "a malformed URL"),
        ("http://user:s3#cret@example.org/", "a malformed URL"),
        ("http://[::1", "a malformed URL"),
        ("http://example.org:99999/", "a malformed URL"),
        ("http://example.org/\x1b[31m\nnext line", "http://example.org/[31mnext line"),
        ("http://example.org/" + "x" * 1000, "http://example.org/" + "x" * 181 + "..."),
        ("", ""),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    assert shown_url(url) == shown


def test_urls_within_a_text_are_shown_likewise() -> None:
    text = f"Client error '401' for url '{SECRET}' (see <{SECRET}>), HTTPS://x@Y/?z"
    assert shown_text(text) == (
        "Client error '401' for url 'http://example.org:8080/path' "
        "(see <http://example.org:8080/path>), https://Y/"
    )


@pytest.mark.parametrize(
    "error",
    [
        ContentTypeError(SECRET, "text/html", "s3cret page"),
        UpstreamStatusError(SECRET, 401, None, "s3cret page"),
        RedirectError([SECRET, SECRET], "in a circle"),
        ConnectionLostError(SECRET, 2, "why"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_say_as_much(error: Exception) -> None:
    for each in (error, pickle.loads(pickle.dumps(error))):
        assert "http://example.org:8080/path" in str(each)
        assert "s3cret" not in f"{each} {each!r} {each.args}"
        url = getattr(each, "url", None) or each.urls[0]  # type: ignore[attr-defined]
        assert url == "http://example.org:8080/path"


@pytest.mark.parametrize("text", ["asked: %s", f"asked: {SECRET}"])
def test_no_line_of_the_log_has_more_of_a_url(caplog: pytest.LogCaptureFixture, text: str) -> None:
    logging.getLogger("trio_stream").warning(text, *[SECRET] * text.count("%s"))
    assert caplog.messages == ["asked: http://example.org:8080/path"]


def test_what_is_no_url_stays_as_it_was_logged(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("trio_stream").warning("%s of %d", "a", 2)
    [record] = caplog.records
    assert (record.msg, record.args) == ("%s of %d", ("a", 2))


async def test_what_a_producer_failed_with_is_logged_without_what_was_asked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A client's exceptions have the whole URL in their text, and so has a traceback."""
    failed = httpx.Response(401, request=httpx.Request("GET", SECRET))

    async def ask(stream: Stream) -> None:
        try:
            failed.raise_for_status()
        finally:
            raise LookupError("the answer of " + SECRET)

    def on_end(stream: Stream) -> None:
        failed.raise_for_status()

    with pytest.RaisesGroup(LookupError, flatten_subgroups=True, allow_unwrapped=True):
        async with connect(Stream(ask, on_end=on_end)) as client:
            await client.read()
    [record] = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is httpx.HTTPStatusError
    assert "HTTPStatusError: Client error '401 Unauthorized'" in caplog.text
    assert "http://example.org:8080/path" in caplog.text
    assert "s3cret" not in caplog.text


def test_excerpts_are_logged_where_their_own_logger_is_told_to(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, "trio_stream"):
        log_excerpt("it said", "s3cret")
        assert caplog.text == ""
        with caplog.at_level(logging.INFO, "trio_stream.excerpts"):
            log_excerpt("it said", "s3cret")
        assert "it said: s3cret" in caplog.text


def test_what_a_line_names_is_a_field_and_has_no_more_of_a_url_either(
    caplog: pytest.LogCaptureFixture,
) -> None:
    facts = {"url": SECRET, "error": ValueError(SECRET), "events": 3, "route": None}
    logging.getLogger("trio_stream").warning("asked %(url)s", facts)
    [record] = caplog.records
    shown = "http://example.org:8080/path"
    assert {name: vars(record)[name] for name in facts} == {
        "url": shown,
        "error": shown,
        "events": 3,
        "route": None,
    }
    assert "s3cret" not in str(vars(record))
