"""The two shapes of an event: fields that a person reads, and bytes that a socket takes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import force_setattr

from ..checks import check_flag
from .jsonable import to_utf8

__all__ = ["EncodedEvent", "ServerSentEvent", "Uncompressed", "to_chunk"]


class Uncompressed(bytes):
    """What goes out as it is, also where its stream is compressed."""

    __slots__ = ()


class _Data(msgspec.Struct, frozen=True):
    """Only to let the first argument of `ServerSentEvent` be given by its place."""

    data: Any = None


# A frozen dataclass, in effect, but ten times faster to make, which is most of a decoder's work.
class ServerSentEvent(_Data, frozen=True, kw_only=True):
    """One event, or a block without data, of a ``text/event-stream``.

    To send, leave out what should not be on the wire. A decoder fills in `data`, `event` and `id`.
    It cannot be changed; ``msgspec.structs.replace(event, id="7")`` makes another one.

    Attributes:
      data: what the event says: `str` and UTF-8 `bytes` as text, anything else as JSON. `None` is
        no data at all: the block then only carries `id`, `retry` or `comment`, and no client
        dispatches it. Decoded: always a `str`.
      event: its name. Sent: `None` takes the stream's own, ``"message"`` is explicitly unnamed.
        Decoded: ``"message"`` when unnamed.
      id: what the client hands back as ``Last-Event-ID`` when it reconnects; an `int` will do.
        Decoded: the id in force when the event was dispatched, `None` while there has been none,
        ``""`` after the peer reset it.
      retry: how long a client should wait before it reconnects, in milliseconds. Decoded: this
        block's own, when it had a valid one.
      comment: text that clients ignore. Never decoded into an event.
    """

    event: str | None = None
    id: str | None = None
    retry: int | None = None
    comment: str | None = None

    def json(self) -> Any:
        """Parse the event's data as JSON.

        Raises:
          ValueError: the data is not JSON, or holds half of a surrogate pair, which is the sender's
            fault. The message says at which byte, and nothing of the data.
        """
        try:
            return msgspec.json.decode(self.data)
        except msgspec.DecodeError as exc:
            if _holds_half_pair(self.data):
                raise ValueError(_HALF_PAIR) from exc
            raise ValueError(f"the sender's data is not JSON: {exc}") from exc


_HALF_PAIR = (
    "the sender's data holds half of a surrogate pair, as where a text was cut in the middle of an "
    "emoji; json.loads(event.data) takes it, but UTF-8 cannot carry it on"
)


def _holds_half_pair(text: str | bytes) -> bool:
    """Whether it is JSON but for that, of which msgspec may say that it was truncated."""
    try:
        json.dumps(json.loads(text), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    except (ValueError, RecursionError):
        pass
    return False


class _Wire(msgspec.Struct, frozen=True, gc=False):
    """As `_Data`, for `EncodedEvent`."""

    data: bytes


# Brokers keep very many of these; the garbage collector need not look at what holds only bytes and
# text.
class EncodedEvent(_Wire, frozen=True, kw_only=True, eq=False, gc=False):
    """An event in wire form: made once, taken as it is by any number of streams.

    `trio_stream.encode` makes one. Wrap bytes or text yourself when they already are in wire form,
    blank line included, as what other libraries' encoders make: nothing is looked into, nothing is
    added.

    Args:
      data: the bytes; any bytes-like object, copied once if it is not `bytes`; or a `str`.
      id: the event's id, for whoever must know it without parsing.
      format: the name of the stream format that `data` is in.
      compress: False if it is to go out as it is in a compressed stream, and be no help to
        compress anything else: for secrets, whose size would tell what they have in common with
        what is sent beside them.

    Raises:
      TypeError: `data` is neither bytes-like nor a `str`, or ``compress`` not a bool.
      ValueError: it is a `str` with half of a surrogate pair.
    """

    id: str | None = None
    format: str = "sse"
    compress: bool = True
    _frame: bytes | None = None

    if TYPE_CHECKING:

        def __init__(
            self,
            data: bytes | bytearray | memoryview | str,
            *,
            id: str | None = None,
            format: str = "sse",
            compress: bool = True,
        ) -> None: ...

    def __post_init__(self) -> None:
        if type(self.data) is not bytes:
            force_setattr(self, "data", _to_bytes(self.data))
        if self.compress is not True:
            check_flag("compress", self.compress)
            force_setattr(self, "data", Uncompressed(self.data))

    @property
    def frame(self) -> bytes:
        """The event as one HTTP/1.1 chunk, built when first asked for and kept."""
        frame = self._frame
        if frame is None:
            frame = to_chunk(self.data)
            force_setattr(self, "_frame", frame)
        return frame

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EncodedEvent):
            return NotImplemented
        return (self.data, self.id, self.format) == (other.data, other.id, other.format)

    def __hash__(self) -> int:
        return hash((self.data, self.id, self.format))

    def __repr__(self) -> str:
        start = bytes(self.data[:32])
        more = "..." if len(self.data) > len(start) else ""
        tags = "" if self.id is None else f" id={self.id!r}"
        return f"<EncodedEvent {self.format}{tags} {len(self.data)} bytes: {start!r}{more}>"


def to_chunk(data: bytes) -> bytes:
    """``data`` as one chunk of HTTP/1.1's chunked transfer coding.

    Nothing for nothing: an empty chunk would say that the body has ended.
    """
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def _to_bytes(data: Any) -> bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    if isinstance(data, str):
        return to_utf8(data)
    raise TypeError(
        f"EncodedEvent takes bytes or text in wire form already, not {type(data).__name__}; "
        "to turn a value into an event use encode(value)"
    )
