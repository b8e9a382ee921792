"""What a page may do besides looking, by a POST with a JSON object."""

from __future__ import annotations

import msgspec

from ..broker.refused import RefusedError
from ..stream.overview import each_open_stream
from .process import process_name

__all__ = ["Action", "End", "act", "read_action"]


class End(msgspec.Struct, tag_field="do", tag="end", forbid_unknown_fields=True):
    """End a stream, as `Stream.close` does: by its number, which is that of the process alone."""

    process: str
    stream: int


Action = End


def read_action(body: bytes | bytearray) -> Action:
    """What is to be done; refused where that is nothing there is."""
    try:
        return msgspec.json.decode(body, type=Action)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise RefusedError(400, f"there is nothing such to do: {exc}") from None


def act(action: Action) -> dict[str, object]:
    """Do it; what is answered."""
    if action.process != process_name():
        raise RefusedError(409, f"this is process {process_name()}, which has streams of its own")
    for stream in each_open_stream():
        if stream.number == action.stream:
            stream.close()
            return {"ended": action.stream}
    raise RefusedError(404, f"stream {action.stream} is not open any more")
