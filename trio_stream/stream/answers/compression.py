"""Whether a stream is compressed: what its user allows and its client can read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from ...checks import shown
from ...codec import Format
from ...codec.accept_encoding import choose_coding
from ...codec.compressor import available_codings
from ...codec.content_coding import one_coding
from .clients import list_header

if TYPE_CHECKING:
    from ...transport.asgi import Scope

__all__ = ["Compress", "check_compress", "coding_for", "kept_coding"]

#: What `Stream` takes as ``compress``.
Compress = Literal["auto", "upstream"] | Sequence[Literal["gzip", "zstd"]]

_KNOWN = ("gzip", "zstd")


def check_compress(wire: Format, compress: Compress | None) -> tuple[str, ...]:
    """The codings that may be used, the favourite first; none of them without ``compress``.

    Raises:
      TypeError, ValueError: it is no such value.
      ImportError: it names zstd, for which there is no module.
    """
    if compress is None:
        return ()
    if compress == "upstream":
        if wire.name != "bytes":
            raise TypeError(
                "compress='upstream' needs format='bytes': what becomes events has to be decoded"
            )
        return ()
    available = available_codings()
    if compress == "auto":
        # What bytes are is not known: mostly they are compressed already.
        return () if wire.name == "bytes" else available
    if not isinstance(compress, tuple | list) or not compress:
        wrong = ValueError if isinstance(compress, str) else TypeError
        raise wrong(
            "compress must be None, 'auto', 'upstream' or a tuple of 'gzip' and 'zstd', "
            f"not {shown(compress)}"
        )
    for name in compress:
        if name not in _KNOWN:
            raise ValueError(f"compress: there is 'gzip' and 'zstd', not {shown(name)}")
        if name not in available:
            raise ImportError("compress: zstd needs a module before Python 3.14: trio-stream[zstd]")
    return tuple(dict.fromkeys(compress))


def coding_for(scope: Scope, offered: Sequence[str]) -> str | None:
    """The coding in which the client of this request is answered, or None."""
    if not offered:
        return None
    return choose_coding([list_header(scope, b"accept-encoding").decode("latin-1")], offered)


def kept_coding(scope: Scope | None, content_encoding: str) -> str | None:
    """The one coding of an upstream's response, if this client reads it; None: undo what it has."""
    name = one_coding(content_encoding)
    return None if scope is None or name is None else coding_for(scope, (name,))
