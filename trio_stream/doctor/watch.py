"""One request, and an eye on its answer: at the level of bytes, with the time of each."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping

import httpx
import trio

from ..client.connecting.attempts import describe
from ..client.sendable import check_address, telling_unsendable
from ..codec.content_coding import Coding, CodingError, open_coding
from ..errors import InvalidRequestError, RemoteProtocolError
from ..privacy import shown_url
from ..stream.upstream.foreign import close_response
from .observation import End, Observation
from .reading import Arrival

__all__ = ["Watch"]

#: Bytes of body after which enough has been seen.
ENOUGH = 8 * 2**20

#: Pieces that are no further apart, in seconds, came together: a server's chunks in one packet.
_TOGETHER = 0.002

#: As many as the Fetch standard follows.
_MAX_REDIRECTS = 20


class Watch:
    """Sends one request and listens to what comes.

    Args:
      client: of httpx.
      method, url, headers, content: of the request.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: str | bytes | None = None,
    ) -> None:
        self._client = client
        self._request = (method, url, headers, content)
        self._url = shown_url(url)
        self._started = self._ended = trio.current_time()
        self._began = time.time()
        self._failure = ""
        self._redirects: list[str] = []
        self._response: httpx.Response | None = None
        self._answered: float | None = None
        self._arrivals: list[Arrival] = []
        self._end: End = "open"
        self._reason = ""
        #: Set when there is a head, or will be none.
        self.answered: trio.Event = trio.Event()
        #: Set when nothing is listened to any longer.
        self.ended: trio.Event = trio.Event()

    def observation(self) -> Observation:
        """What has been seen so far."""
        response = self._response
        headers = [] if response is None else response.headers.multi_items()
        return Observation(
            url=self._url,
            started=self._started,
            began=self._began,
            failure=self._failure,
            redirects=tuple(self._redirects),
            answered=self._answered,
            status=0 if response is None else response.status_code,
            http_version="" if response is None else response.http_version,
            headers=tuple((name.lower(), value) for name, value in headers),
            arrivals=tuple(self._arrivals),
            end=self._end,
            reason=self._reason,
            ended=self._ended - self._started,
        )

    async def listen(
        self, seconds: float, enough: Callable[[Observation], bool] | None = None
    ) -> None:
        """Listen for so long, and as long for the head before it; less when that is enough."""
        response: httpx.Response | None = None
        chunks: AsyncIterator[bytes] | None = None
        try:
            with trio.move_on_after(seconds):
                response = await self._ask()
            self.answered.set()
            if response is not None and response.status_code == 200:
                chunks = response.aiter_raw()
                with trio.move_on_after(seconds):
                    await self._read(chunks, response, enough)
        finally:
            self._ended = trio.current_time()
            self.answered.set()
            self.ended.set()
            if response is not None:
                await close_response(response, chunks)

    async def _ask(self) -> httpx.Response | None:
        try:
            with telling_unsendable(self._request[1], httpx):
                response = await self._follow()
        except (httpx.RequestError, InvalidRequestError) as exc:
            self._failure = describe(exc)
            return None
        self._answered = trio.current_time() - self._started
        self._response = response
        self._url = shown_url(str(response.url))
        return response

    async def _follow(self) -> httpx.Response:
        method, url, headers, content = self._request
        timeout = {**self._client.timeout.as_dict(), "read": None}
        request = self._client.build_request(
            method, url, headers=headers, content=content, extensions={"timeout": timeout}
        )
        while True:
            check_address(request.url)
            response = await self._client.send(request, stream=True)
            target = response.next_request
            if target is None or len(self._redirects) == _MAX_REDIRECTS:
                return response
            await close_response(response)  # unread: it may be endless
            self._redirects.append(shown_url(str(target.url)))
            request = target

    async def _read(
        self,
        chunks: AsyncIterator[bytes],
        response: httpx.Response,
        enough: Callable[[Observation], bool] | None,
    ) -> None:
        size = 0
        try:
            coding = open_coding(response.headers.get("content-encoding", ""))
            async for chunk in chunks:
                size += self._arrive(chunk, coding)
                if size > ENOUGH or (enough is not None and enough(self.observation())):
                    return
            self._end = "proper"
            coding.end()
        except (CodingError, RemoteProtocolError) as exc:
            # What was cut off in the middle is a break, whatever HTTP says.
            self._end = "broken" if self._end == "proper" else "undecodable"
            self._reason = str(exc)
        except httpx.RequestError as exc:
            self._end, self._reason = "broken", describe(exc)

    def _arrive(self, chunk: bytes, coding: Coding) -> int:
        """Take what has arrived; how many bytes it stands for."""
        at = trio.current_time() - self._started
        size, data = len(chunk), b""
        for piece in coding.undo(chunk):
            data += piece
            if len(data) > ENOUGH:
                break
        last = self._arrivals[-1] if self._arrivals else None
        if last is not None and at - last.at <= _TOGETHER:
            self._arrivals[-1] = Arrival(last.at, last.size + size, last.data + data)
        else:
            self._arrivals.append(Arrival(at, size, data))
        return len(data)
