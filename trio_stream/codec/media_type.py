"""What a response's body is: what its content type says, and what its first bytes look like."""

from __future__ import annotations

import re
from typing import Literal

__all__ = ["SNIFF", "Kind", "choose_kind", "declared_kind", "sniff"]

#: ``"binary"`` is what is no text, and ``"unknown"`` a type that says nothing of either.
Kind = Literal["sse", "json", "lines", "html", "text", "binary", "unknown"]

#: Bytes after which what is none of the others is text.
SNIFF = 1024

_KINDS: dict[str, Kind] = {
    "text/event-stream": "sse",
    "text/html": "html",
    "application/xhtml+xml": "html",
    **dict.fromkeys(
        ["application/json", "text/json", "application/json-seq", "application/x-json-stream"],
        "json",
    ),
    **dict.fromkeys(
        [
            "application/x-ndjson",
            "application/ndjson",
            "application/jsonl",
            "application/x-jsonlines",
            "application/json-lines",
        ],
        "lines",
    ),
    **dict.fromkeys(
        [
            "application/xml",
            "application/javascript",
            "application/ecmascript",
            "application/yaml",
            "application/graphql",
            "application/x-www-form-urlencoded",
        ],
        "text",
    ),
    # The two that streams come in; of all others the first bytes tell, mostly.
    "application/vnd.amazon.eventstream": "binary",
    "application/grpc": "binary",
}

_FAMILIES: dict[str, Kind] = {
    "text": "text",
    **dict.fromkeys(["image", "audio", "video", "font", "model", "multipart"], "binary"),
}


def declared_kind(content_type: str) -> Kind:
    """What a ``Content-Type`` header says.

    Parameters say nothing of it; of several types it is the last that counts, as in browsers.
    """
    names = [name.partition(";")[0].strip().lower() for name in content_type.split(",")]
    name = next((name for name in reversed(names) if "/" in name), "")
    family, _, subtype = name.partition("/")
    if name in _KINDS:
        return _KINDS[name]
    if subtype.endswith(("+json", "+json-seq")):
        return "json"
    if subtype.endswith("+xml") and family == "application":
        return "text"
    return _FAMILIES.get(family, "unknown")


_JSON = re.compile(rb"\x1e|\{\s*[\"}]|\[\s*[\[{\"\]]").match
_HTML = re.compile(rb"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE).match
#: Whole lines that come before an event's data.
_BEFORE_DATA = re.compile(rb"(?:(?::|event:|id:|retry:)[^\n]*\n|\n)*").match
_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")


def choose_kind(declared: Kind, seen: Kind, *, strict: bool) -> Kind | None:
    """What a body is read as, by what it says and what it looks like; None: that does not tell.

    Args:
      declared: by its content type, which is not an event stream's.
      seen: by its first bytes.
      strict: whether what it looks like can only speak against what it says.
    """
    if declared in ("binary", "html") or seen == "html" or (strict and seen == "sse"):
        return None
    if declared == "unknown" and (strict or seen == "binary"):
        return None
    if seen == "sse" or declared in ("json", "lines"):
        return "sse" if seen == "sse" else declared
    return "json" if seen == "json" and not strict else "text"


def sniff(data: bytes, *, final: bool) -> Kind | None:
    """What a body that begins like this looks like; None when more of it must be seen.

    Args:
      data: all that has come.
      final: whether the body has ended.
    """
    final = final or len(data) >= SNIFF
    if b"\0" in data or not _is_text(data):
        return "binary"
    text = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines = _BEFORE_DATA(text)
    assert lines is not None
    rest = text[lines.end() :]
    if rest.startswith(b"data:") or (lines[0].strip(b"\n") and lines[0].endswith(b"\n\n")):
        return "sse" if rest.startswith(b"data:") or _has_field(lines[0]) or final else None
    if any(field.startswith(rest) or rest.startswith(field) for field in _FIELDS):
        # Perhaps an event stream, when the line has its end.
        return "text" if final else None
    value = text.lstrip()
    if _JSON(value):
        return "json"
    if _HTML(value):
        return "html"
    undecided = value[:1] in (b"{", b"[") and not value[1:].strip()
    undecided = undecided or (value[:1] == b"<" and len(value) < len("<!doctype html "))
    return None if undecided and not final else "text"


def _has_field(lines: bytes) -> bool:
    return any(not line.startswith(b":") for line in lines.split(b"\n") if line)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError as exc:
        return exc.reason == "unexpected end of data"  # cut within a character, it is text so far
    return True
