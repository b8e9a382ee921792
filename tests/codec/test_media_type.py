"""What a body is, by its content type and by its first bytes."""

import pytest

from trio_stream.codec.media_type import SNIFF, Kind, choose_kind, declared_kind, sniff


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("text/event-stream", "sse"),
        ("Text/Event-Stream; charset=utf-8", "sse"),
        ("text/event-stream, text/event-stream", "sse"),
        ("text/plain, text/event-stream;a=b", "sse"),
        ("application/json", "json"),
        ("application/json;stream=watch", "json"),
        ("application/stream+json", "json"),
        ("application/json-seq", "json"),
        ("application/geo+json-seq", "json"),
        ("application/problem+json", "json"),
        ("application/x-ndjson", "lines"),
        ("application/jsonl; charset=utf-8", "lines"),
        ("text/html", "html"),
        ("text/plain; charset=utf-8", "text"),
        ("text/csv", "text"),
        ("application/atom+xml", "text"),
        ("image/png", "binary"),
        ("image/svg+xml", "binary"),
        ("multipart/x-mixed-replace; boundary=frame", "binary"),
        ("application/vnd.amazon.eventstream", "binary"),
        ("application/octet-stream", "unknown"),
        ("application/vnd.docker.raw-stream", "unknown"),
        ("nonsense", "unknown"),
        ("", "unknown"),
    ],
)
def test_declared(content_type: str, kind: Kind) -> None:
    assert declared_kind(content_type) == kind


@pytest.mark.parametrize(
    ("data", "kind", "at_the_end"),
    [
        (b"", None, "text"),
        (b"data: x", "sse", "sse"),
        (b"dat", None, "text"),
        (b"date", "text", "text"),
        (b"event: created\nda", None, "text"),
        (b"event: created\ndata:", "sse", "sse"),
        (b"event: x\r\ndata: y\r\n\r\n", "sse", "sse"),
        (b"event: x\rdata: y\r\r", "sse", "sse"),
        (b"\xef\xbb\xbfdata: x", "sse", "sse"),
        (b"\n\ndata: x", "sse", "sse"),
        (b": ping\n\n", None, "sse"),
        (b": ping\n\ndata: x", "sse", "sse"),
        (b"id: 5\n\n", "sse", "sse"),
        (b"retry: 3000\n", None, "text"),
        (b"id: 5\nname: x\n", "text", "text"),  # YAML
        (b":-) hello\nthere", "text", "text"),
        (b"{", None, "text"),
        (b'{"a"', "json", "json"),
        (b' \n[ {"a"', "json", "json"),
        (b"{}", "json", "json"),
        (b"\x1e{", "json", "json"),
        (b"[2026-11-30] a line of a log", "text", "text"),
        (b"{not JSON}", "text", "text"),
        (b"<!DOCTYPE html>", "html", "html"),
        (b"\n<HTML lang=en>", "html", "html"),
        (b"<", None, "text"),
        (b"<svg xmlns='x'>", "text", "text"),
        (b"hello", "text", "text"),
        ("caf\u00e9".encode()[:-1], "text", "text"),
        (b"\x89PNG\r\n", "binary", "binary"),
        (b"\0\0\0\x55", "binary", "binary"),
        (b":" + b"x" * SNIFF, "text", "text"),
    ],
)
def test_sniffed(data: bytes, kind: Kind | None, at_the_end: Kind) -> None:
    assert sniff(data, final=False) == kind
    assert sniff(data, final=True) == at_the_end


@pytest.mark.parametrize(
    ("declared", "seen", "auto", "strict"),
    [
        ("text", "text", "text", "text"),
        ("text", "sse", "sse", None),
        ("text", "json", "json", "text"),
        ("text", "html", None, None),
        ("text", "binary", "text", "text"),  # in a charset of its own
        ("json", "json", "json", "json"),
        ("json", "text", "json", "json"),
        ("json", "sse", "sse", None),
        ("json", "html", None, None),
        ("lines", "json", "lines", "lines"),
        ("lines", "sse", "sse", None),
        ("unknown", "sse", "sse", None),
        ("unknown", "json", "json", None),
        ("unknown", "text", "text", None),
        ("unknown", "binary", None, None),
        ("html", "text", None, None),
        ("binary", "text", None, None),
        ("binary", "sse", None, None),
    ],
)
def test_chosen(declared: Kind, seen: Kind, auto: Kind | None, strict: Kind | None) -> None:
    assert choose_kind(declared, seen, strict=False) == auto
    assert choose_kind(declared, seen, strict=True) == strict
