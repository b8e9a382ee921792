"""What a page may do besides looking, by a POST with a JSON object."""

from __future__ import annotations

import logging

import msgspec
import trio

from ..broker import Broker
from ..endpoints.refused import RefusedError
from ..errors import BrokerError
from ..stream.overview import each_open_stream
from .process import process_name

__all__ = ["Action", "End", "act", "end_here", "read_action"]

log: logging.Logger = logging.getLogger("trio_stream")


class End(msgspec.Struct, tag_field="do", tag="end", forbid_unknown_fields=True):
    """End a stream, as `Stream.close` does: by its number, which is that of the process alone."""

    process: str
    stream: int


class Publish(msgspec.Struct, tag_field="do", tag="publish", forbid_unknown_fields=True):
    """Publish an event, as `Broker.publish` does; its data is text."""

    topic: str
    data: str
    event: str | None = None
    key: str = ""
    keep: bool = True


class Stop(msgspec.Struct, tag_field="do", tag="stop", forbid_unknown_fields=True):
    """Stop a resumable run, as `Broker.stop_resumable` does."""

    key: str


Action = End | Publish | Stop


def read_action(body: bytes | bytearray) -> Action:
    """What is to be done; refused where that is nothing there is."""
    try:
        action: Action = msgspec.json.decode(body, type=Action)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise RefusedError(400, f"there is nothing such to do: {exc}") from None
    return action


async def act(action: Publish | Stop, broker: Broker | None) -> dict[str, object]:
    """Do it; what is answered."""
    if broker is None:
        raise RefusedError(404, "this inspector has no broker")
    try:
        if isinstance(action, Stop):
            if not await broker.stop_resumable(action.key):
                raise RefusedError(404, "no run of this key is running")
            return {"stopped": action.key}
        fields = msgspec.structs.asdict(action)
        topic, data = fields.pop("topic"), fields.pop("data")
        return {"id": await broker.publish(topic, data, **fields)}
    except (TypeError, ValueError) as exc:
        raise RefusedError(400, str(exc)) from None
    except (BrokerError, trio.ClosedResourceError) as exc:
        log.error("the inspector could not reach its broker: %(error)s", {"error": exc})
        raise RefusedError(503, "it may have been done, or not: the engine cannot tell") from None


def end_here(action: End) -> dict[str, object]:
    """End a stream of this process; what is answered."""
    if action.process != process_name():
        raise RefusedError(409, f"this is process {process_name()}, which has streams of its own")
    for stream in each_open_stream():
        if stream.number == action.stream:
            stream.close()
            return {"ended": action.stream}
    raise RefusedError(404, f"stream {action.stream} is not open any more")
