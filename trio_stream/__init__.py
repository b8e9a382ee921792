"""The streaming toolkit for Trio."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .broker import (
    Broker,
    BrokerHealth,
    BrokerStatistics,
    KnownRun,
    KnownTopic,
    Last,
    Member,
    OpenRun,
    PublishApp,
    Published,
    ReadyApp,
    Resumable,
    ResumableRun,
    Retention,
    SourceRun,
    Subscription,
    SubscriptionHooks,
    SubscriptionStatistics,
    TopicEvent,
    TopicPage,
    TopicPublisher,
    TopicStatistics,
    open_broker,
    presence_topic,
    publish,
    publish_app,
    publisher,
    ready_app,
)
from .codec import DroppedInput, EncodedEvent, EventStreamDecoder, ServerSentEvent, encode
from .errors import (
    BrokerError,
    BrokerInUseError,
    BrokerStorageError,
    BrokerUnavailableError,
    ConnectionLostError,
    ContentTypeError,
    EventTooLargeError,
    GapError,
    IncompleteStreamError,
    InvalidRequestError,
    LeaseLostError,
    MapError,
    RedirectError,
    RemoteProtocolError,
    RunFailedError,
    RunInProgressError,
    TrioStreamError,
    UpstreamStatusError,
)
from .inspector import InspectorApp, inspector_app
from .stream import (
    EndedStream,
    ErrorAnswer,
    LimitStatistics,
    NotSent,
    OpenStream,
    Outcome,
    Refusal,
    Stream,
    StreamApp,
    StreamHooks,
    StreamLimits,
    StreamStatistics,
    TaskView,
    client_address,
    current_blocking_limiter,
    ended_streams,
    last_event_id,
    no_reconnect,
    open_streams,
    outcome_counts,
    stream_app,
)
from .transport.hypercorn import StreamMiddleware, serve

if TYPE_CHECKING:
    from .client.connecting.attempts import AttemptEnded, AttemptOpened
    from .client.connecting.next_request import StreamRequest
    from .client.connecting.reconnect import ReconnectPolicy
    from .client.event_source import EventSource
    from .client.ready_state import ReadyState

__all__ = [
    "AttemptEnded",
    "AttemptOpened",
    "Broker",
    "BrokerError",
    "BrokerHealth",
    "BrokerInUseError",
    "BrokerStatistics",
    "BrokerStorageError",
    "BrokerUnavailableError",
    "ConnectionLostError",
    "ContentTypeError",
    "DroppedInput",
    "EncodedEvent",
    "EndedStream",
    "ErrorAnswer",
    "EventSource",
    "EventStreamDecoder",
    "EventTooLargeError",
    "GapError",
    "IncompleteStreamError",
    "InspectorApp",
    "InvalidRequestError",
    "KnownRun",
    "KnownTopic",
    "Last",
    "LeaseLostError",
    "LimitStatistics",
    "MapError",
    "Member",
    "NotSent",
    "OpenRun",
    "OpenStream",
    "Outcome",
    "PublishApp",
    "Published",
    "ReadyApp",
    "ReadyState",
    "ReconnectPolicy",
    "RedirectError",
    "Refusal",
    "RemoteProtocolError",
    "Resumable",
    "ResumableRun",
    "Retention",
    "RunFailedError",
    "RunInProgressError",
    "ServerSentEvent",
    "SourceRun",
    "Stream",
    "StreamApp",
    "StreamHooks",
    "StreamLimits",
    "StreamMiddleware",
    "StreamRequest",
    "StreamStatistics",
    "Subscription",
    "SubscriptionHooks",
    "SubscriptionStatistics",
    "TaskView",
    "TopicEvent",
    "TopicPage",
    "TopicPublisher",
    "TopicStatistics",
    "TrioStreamError",
    "UpstreamStatusError",
    "client_address",
    "current_blocking_limiter",
    "encode",
    "ended_streams",
    "inspector_app",
    "last_event_id",
    "no_reconnect",
    "open_broker",
    "open_streams",
    "outcome_counts",
    "presence_topic",
    "publish",
    "publish_app",
    "publisher",
    "ready_app",
    "serve",
    "stream_app",
]

#: Where the client's names are, which are imported when they are first asked for: they bring httpx,
#: and that a terminal's colours, all of which a server's garbage collector would look at for ever.
_CLIENT = {
    "AttemptEnded": "connecting.attempts",
    "AttemptOpened": "connecting.attempts",
    "EventSource": "event_source",
    "ReadyState": "ready_state",
    "ReconnectPolicy": "connecting.reconnect",
    "StreamRequest": "connecting.next_request",
}

if not TYPE_CHECKING:  # a checker would believe that there is any name

    def __getattr__(name: str) -> object:
        if name not in _CLIENT:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(f".client.{_CLIENT[name]}", __name__), name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
