"""What an event source asks for next: a hook for servers that are resumed in ways of their own."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from ...codec import ServerSentEvent
from .last_event_id import to_header

__all__ = ["NextRequest", "Requests", "StreamRequest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRequest:
    """One request of an event source, for ``next_request`` to change: `dataclasses.replace`.

    Attributes:
      url: where it goes.
      content: its body, or None.
      headers: further headers, over those of the event source.
      last_event_id: what goes out as ``Last-Event-ID``; None leaves that header out.
    """

    url: str = field(repr=False)  # as the others: it may hold what is secret
    content: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    last_event_id: str | None = field(default=None, repr=False)


#: Given the request that would be made, and the last event that came, or None: the request to make,
#: or None when there is no more to ask for. Sync or async.
NextRequest = Callable[
    [StreamRequest, ServerSentEvent | None],
    StreamRequest | Awaitable[StreamRequest | None] | None,
]


class Requests:
    """Makes the requests of one event source.

    Args:
      url, content: of the first; all others are made from it.
      hook: the user's, for all but the first.
    """

    def __init__(self, url: str, content: bytes | None, hook: NextRequest | None) -> None:
        self._url = url
        self._content = content
        self._hook = hook
        self._is_first = True

    async def make(
        self, last_event_id: str | None, last_event: ServerSentEvent | None
    ) -> StreamRequest | None:
        """The next request; None when the hook says that there is no more.

        Raises:
          TypeError: the hook returns something else.
        """
        request = StreamRequest(
            url=self._url, content=self._content, last_event_id=to_header(last_event_id)
        )
        is_first, self._is_first = self._is_first, False
        if is_first or self._hook is None:
            return request
        answer = self._hook(request, last_event)
        changed = await answer if inspect.isawaitable(answer) else answer
        if changed is not None and not isinstance(changed, StreamRequest):
            raise TypeError(
                "next_request returns a StreamRequest, dataclasses.replace(request, url=...) "
                f"for example, or None for no more, not {type(changed).__name__}"
            )
        return changed
