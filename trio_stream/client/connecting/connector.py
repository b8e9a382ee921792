"""One attempt to connect: the request, its redirects, and what is asked of the answer."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from math import inf
from typing import Any, Final, cast

import httpx
import trio

from ...checks import naming
from ...codec import to_json
from ...codec.content_coding import accepted_codings
from ...codec.media_type import Kind, choose_kind, declared_kind, sniff
from ...codec.readings import ReadAs
from ...errors import (
    ContentTypeError,
    RedirectError,
    UpstreamStatusError,
)
from ...stream.source.contract import close_within
from ...stream.upstream.foreign import close_response, http_modules
from ..sendable import check_address, telling_unsendable
from .connection import Connection
from .http_client import make_client
from .next_request import StreamRequest

__all__ = ["IDLE_TIMEOUT", "Connector", "Headers", "make_body", "module_of_client"]

#: Five minutes of silence, twenty of the comments that the standard asks servers for "every 15
#: seconds or so". Other clients of endless streams wait as long.
IDLE_TIMEOUT: Final = 300.0

#: The same for every attempt, or a function, sync or async, that is asked anew for each of them.
Headers = Mapping[str, str] | Callable[[], Mapping[str, str] | Awaitable[Mapping[str, str]]]

#: As many as the Fetch standard follows.
MAX_REDIRECTS = 20


def module_of_client(client: object) -> Any:
    """The module, httpx or httpx2, that an ``AsyncClient`` comes from.

    Raises:
      TypeError: it is neither's.
    """
    for module in http_modules():
        if isinstance(client, module.AsyncClient):
            return module
    raise TypeError(
        "client must be an AsyncClient of httpx or httpx2, "
        f"not a {type(client).__module__}.{type(client).__qualname__}"
    )


def make_body(json: Any, content: str | bytes | None) -> tuple[bytes | None, dict[str, str]]:
    """A request's body, and the header that says what it is.

    Raises:
      TypeError: there are two.
    """
    if json is None:
        return (content.encode() if isinstance(content, str) else content), {}
    if content is not None:
        raise TypeError("a request has one body: hand over json or content, not both")
    with naming("json"):
        return to_json(json), {"content-type": "application/json"}


class Connector:
    """Makes the connections of one event source: all about a request but when to send it.

    Args:
      client: of httpx or httpx2; its proxies, cookies, authentication and timeouts apply, except
        that a stream may be silent for longer than its read timeout. None makes one.
      method: of the requests.
      headers: the user's; they replace the defaults.
      idle_timeout: how many seconds the server may send nothing at all.
      answer_timeout: how many it may take to answer; None is the same.
      read_as: what the answer is read as; see `EventSource`.
    """

    def __init__(
        self,
        client: Any,
        method: str,
        headers: list[Headers],
        idle_timeout: float | None,
        answer_timeout: float | None,
        read_as: ReadAs,
    ) -> None:
        self.http: Any = httpx if client is None else module_of_client(client)
        self._client = client
        self._own_client: httpx.AsyncClient | None = None
        self._method = method
        self._headers = headers
        self._idle_timeout = inf if idle_timeout is None else idle_timeout
        self._answer_timeout = self._idle_timeout if answer_timeout is None else answer_timeout
        self._read_as = read_as
        # What the user asked for, in full, and where permanent redirects from there have led.
        self._origin: Any = None
        self._moved_to: Any = None
        self._moved_from = ""

    async def connect(self, request: StreamRequest) -> Connection | None:
        """Send the request; None when the server says 204: there is no more, do not come back.

        Raises:
          InvalidRequestError: the request cannot be sent as it is: its URL, or a header.
          httpx.RequestError: there was no answer. It is httpx2's when the client is.
          trio.TooSlowError: there was none in time.
          UpstreamStatusError: its status is not 200.
          ContentTypeError: it is not an event stream, nor what it is to be read as.
          RedirectError: there were more than 20 redirects, or one to another scheme.
          RemoteProtocolError: it is in a content coding that was not asked for.
          ConnectionLostError: there is no client, and the environment keeps one from being made.
        """
        if self._client is None:
            self._client = self._own_client = make_client(request.url)
        response: httpx.Response | None = None
        with trio.move_on_after(self._answer_timeout):
            chosen = [await _ask(given) for given in self._headers]
            with telling_unsendable(request.url, self.http):
                headers = self._request_headers(request, chosen)
                response = await self._follow(self._build(request, headers))
        if response is None:
            raise trio.TooSlowError(f"the server did not answer for {self._answer_timeout:g} s")
        with trio.move_on_after(self._idle_timeout):
            return await self._examine(response)
        raise trio.TooSlowError(f"the server sent nothing for {self._idle_timeout:g} s")

    @property
    def has_own_client(self) -> bool:
        """Whether it has made a client, which `aclose` closes."""
        return self._own_client is not None

    async def aclose(self) -> None:
        """Close the client that it made; shielded and idempotent."""
        if self._own_client is not None:
            await close_within(self._own_client, "the client of an EventSource")

    def _request_headers(self, request: StreamRequest, chosen: list[Mapping[str, str]]) -> Any:
        headers = self.http.Headers(
            {
                "accept": "text/event-stream",
                "accept-encoding": accepted_codings(),
                "cache-control": "no-cache",
            }
        )
        for given in [*chosen, request.headers]:
            headers.update(given)
        if request.last_event_id is not None:
            # "encoded as UTF-8", says the standard; so does httpx.
            headers["last-event-id"] = request.last_event_id
        return headers

    def _build(self, asked: StreamRequest, headers: Any) -> Any:
        timeout = {**self._client.timeout.as_dict(), "read": None}
        request = self._client.build_request(
            self._method,
            asked.url,
            content=asked.content,
            headers=headers,
            extensions={"timeout": timeout},
        )
        check_address(request.url)
        self._origin = request.url
        if self._moved_from != asked.url:
            self._moved_from, self._moved_to = asked.url, None
        if self._moved_to is not None:
            # The request that this redirect would have made: see `httpx.Response.next_request`.
            request.url = self._moved_to
            request.headers["host"] = self._moved_to.netloc.decode("ascii")
            if self._is_foreign(request):
                for name in ("authorization", "cookie", "proxy-authorization"):
                    request.headers.pop(name, None)
                self._client.cookies.set_cookie_header(request)
        return request

    def _is_foreign(self, request: Any) -> bool:
        """Whether the request goes to another server than the one that was meant to see secrets."""
        ours, theirs = self._origin, request.url
        default_ports = ours.port is None and theirs.port is None
        upgraded = (ours.scheme, theirs.scheme) == ("http", "https") and default_ports
        same = (ours.scheme, ours.port) == (theirs.scheme, theirs.port)
        return ours.host != theirs.host or not (same or upgraded)

    async def _follow(self, request: Any) -> httpx.Response:
        """Send the request, and those that redirects make of it."""
        urls = [str(request.url)]
        permanent = True
        while True:
            response = await self._send(request)
            target: Any = response.next_request
            if target is None:
                return response
            # Unread: a redirect's body is of no use, and may be endless.
            await close_response(response)
            urls.append(str(target.url))
            _check_redirects(urls, target.url.scheme)
            permanent &= response.status_code in (301, 308) and target.method == request.method
            if permanent:
                self._moved_to = target.url
            request = target

    async def _send(self, request: Any) -> httpx.Response:
        options = {"auth": None} if self._is_foreign(request) else {}
        response: httpx.Response = await self._client.send(
            request, stream=True, follow_redirects=False, **options
        )
        return response

    async def _examine(self, response: httpx.Response) -> Connection | None:
        connection = Connection(response, self._idle_timeout)
        accepted = False
        try:
            if response.status_code == 204:
                return None
            if response.status_code != 200:
                raise await _status_error(response, connection)
            declared = declared_kind(response.headers.get("content-type", ""))
            if self._read_as == "strict" and declared != "sse":
                raise _content_type_error(response, await connection.read_excerpt())
            connection.open()
            connection.kind = await self._find_kind(declared, response, connection)
            accepted = True
            return connection
        finally:
            if not accepted:
                await connection.aclose()

    async def _find_kind(
        self, declared: Kind, response: httpx.Response, connection: Connection
    ) -> Kind:
        """What the body is read as. For that its beginning may be waited for."""
        if self._read_as not in ("auto", "strict"):
            return cast(Kind, self._read_as)
        if declared == "sse":
            return "sse"
        begin, seen = b"", None
        while declared != "binary" and seen is None:
            piece = await connection.read()
            begin += piece
            seen = sniff(begin, final=not piece)
        connection.unread(begin)
        kind = choose_kind(declared, seen or "binary", strict=False)
        if kind in (None, "text"):
            raise _content_type_error(response, begin.decode("utf-8", "replace"))
        assert kind is not None
        return kind


async def _ask(headers: Headers) -> Mapping[str, str]:
    answer = headers() if callable(headers) else headers
    return await answer if inspect.isawaitable(answer) else answer


async def _status_error(response: httpx.Response, connection: Connection) -> UpstreamStatusError:
    body = await connection.read_excerpt()
    retry_after = response.headers.get("retry-after")
    return UpstreamStatusError(str(response.url), response.status_code, retry_after, body)


def _content_type_error(response: httpx.Response, body: str) -> ContentTypeError:
    content_type = response.headers.get("content-type", "")
    hint = "an event stream is 'text/event-stream', and read_as= says what else to take"
    return ContentTypeError(str(response.url), content_type, body, hint)


def _check_redirects(urls: list[str], scheme: str) -> None:
    if scheme not in ("http", "https"):
        raise RedirectError(urls, f"it redirects to what is not HTTP ({scheme})")
    if len(urls) > MAX_REDIRECTS + 1:
        circle = len(set(urls)) < len(urls)
        raise RedirectError(
            urls, "its redirects go in a circle" if circle else "it redirects without end"
        )
