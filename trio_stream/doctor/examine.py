"""The requests that an examination makes, each for what the others cannot show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal
from urllib.parse import urlsplit

import httpx
import trio

from ..client.connecting.last_event_id import can_be_sent
from ..client.terminal.wiretap import is_local
from ..codec.content_coding import accepted_codings
from .observation import Examination, Observation
from .times import lumps
from .watch import Watch

__all__ = ["Examiner", "Options", "examine"]

#: Seconds after which a head is late enough to ask for it once more, without compression.
_PATIENCE = 2.0

#: Seconds that a stream gets to show where it resumes.
_RESUMING = 5.0

#: Bytes in which an event with an id would have been, if there were any.
_MUCH = 2**16

UNCOMPRESSED: dict[str, str] = {"accept-encoding": "identity"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says: a request, and how many seconds to listen to its answer."""

    url: str
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    content: str | bytes | None = None
    verify: bool = True
    beside: str | None = None
    seconds: float = 20.0
    view: Literal["screen", "json"] = "screen"
    verbose: bool = False


async def examine(options: Options, client: httpx.AsyncClient) -> Examination:
    """All that an `Examiner` sees."""
    examiner = Examiner(options, client)
    await examiner.run()
    return examiner.seen()


class Examiner:
    """Asks for a stream as a browser does, and again where that tells more.

    Only what is a GET and has no body is asked for more than once: another may have effects.
    """

    def __init__(self, options: Options, client: httpx.AsyncClient) -> None:
        self._options = options
        self._client = client
        self._repeatable = options.method.upper() == "GET" and options.content is None
        self._watches: dict[str, Watch] = {}
        self._resumed_after = ""

    def seen(self) -> Examination:
        """What has been seen so far."""
        seen = {name: watch.observation() for name, watch in self._watches.items()}
        main = seen["main"]
        return Examination(
            main=main,
            plain=seen.get("plain"),
            again=seen.get("again"),
            beside=seen.get("beside"),
            resumed=seen.get("resumed"),
            resumed_after=self._resumed_after,
            is_local=is_local(urlsplit(main.url).hostname or ""),
            repeatable=self._repeatable,
        )

    async def run(self) -> None:
        """Ask and listen, for as long as it takes."""
        seconds = self._options.seconds
        main = self._watch("main")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(main.listen, seconds)
            if self._options.beside is not None:
                beside = self._watch("beside", url=self._options.beside)
                nursery.start_soon(beside.listen, seconds)
            if self._repeatable:
                with trio.move_on_after(_PATIENCE):
                    await main.answered.wait()
                if _wants_plain(main.observation()):
                    nursery.start_soon(self._watch("plain", UNCOMPRESSED).listen, seconds)
                await self._connect_again_for_lumps(main)
        if self._repeatable:
            await self._resume()

    async def _connect_again_for_lumps(self, main: Watch) -> None:
        half = self._options.seconds / 2
        with trio.move_on_after(half):
            await main.ended.wait()
            return
        if lumps(self.seen().sent):
            await self._watch("again", self._as_before()).listen(half)

    async def _resume(self) -> None:
        sent = self.seen().sent
        if after := _place_to_resume(sent):
            self._resumed_after = after
            watch = self._watch("resumed", {"last-event-id": after} | self._as_before())
            seconds = _RESUMING + 2 * (sent.answered or 0.0)  # as late again
            await watch.listen(min(seconds, self._options.seconds), _shows_where)

    def _as_before(self) -> dict[str, str]:
        """Headers, so that what is sent is what was sent before, as near as could be seen."""
        return UNCOMPRESSED if "plain" in self._watches else {}

    def _watch(self, name: str, headers: Mapping[str, str] | None = None, url: str = "") -> Watch:
        options = self._options
        as_browser = httpx.Headers(
            {
                "accept": "text/event-stream",
                "accept-encoding": accepted_codings(),
                "cache-control": "no-cache",
            }
        )
        for given in (options.headers, headers or {}):
            as_browser.update(given)
        watch = Watch(self._client, options.method, url or options.url, as_browser, options.content)
        self._watches[name] = watch
        return watch


def _wants_plain(seen: Observation) -> bool:
    """Whether compression is there, or may be what keeps the head."""
    return bool(seen.coding) or (seen.answered is None and not seen.failure)


def _place_to_resume(seen: Observation) -> str:
    """The id of an event, that another has followed if possible; ``""`` if there is none."""
    ids = [event.event.id for event in seen.reading.events]
    # The last, of all that there are: one that begins anew has another first.
    for after, before in pairwise(reversed(ids)):
        if before and before != after and can_be_sent(before):
            return before
    return ids[-1] if ids and ids[-1] and can_be_sent(ids[-1]) else ""


def _shows_where(seen: Observation) -> bool:
    """Whether there is an event with an id, or too much without one."""
    if sum(len(arrival.data) for arrival in seen.arrivals) > _MUCH:
        return True
    return any(timed.event.id for timed in seen.reading.events)
