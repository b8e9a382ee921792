"""The requests that an examination makes, each for what the others cannot show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal
from urllib.parse import urlsplit

import httpx
import trio

from ..client.last_event_id import can_be_sent
from ..client.wiretap import is_local
from ..codec.content_coding import accepted_codings
from .observation import Examination, Observation
from .times import lumps
from .watch import Watch

__all__ = ["Options", "examine"]

#: Seconds after which a head is late enough to ask for it once more, without compression.
_PATIENCE = 2.0

#: Seconds that a stream gets to show where it resumes.
_RESUMING = 5.0

#: Bytes in which an event with an id would have been, if there were any.
_MUCH = 2**16

UNCOMPRESSED = {"accept-encoding": "identity"}


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
    """Ask for a stream as a browser does, and again where that tells more.

    Only what is a GET and has no body is asked for more than once: another may have effects.
    """
    repeatable = options.method.upper() == "GET" and options.content is None
    main = _watch(options, client)
    watches = {"main": main}

    async def again() -> None:
        with trio.move_on_after(options.seconds / 2):
            await main.ended.wait()
            return
        headers = UNCOMPRESSED if "plain" in watches else {}
        if lumps(watches.get("plain", main).observation()):
            watches["again"] = _watch(options, client, headers)
            await watches["again"].listen(options.seconds / 2)

    if options.beside is not None:
        watches["beside"] = _watch(options, client, url=options.beside)
    async with trio.open_nursery() as nursery:
        for watch in watches.values():
            nursery.start_soon(watch.listen, options.seconds)
        with trio.move_on_after(_PATIENCE):
            await main.answered.wait()
        if repeatable:
            nursery.start_soon(again)
        if repeatable and _wants_plain(main.observation()):
            watches["plain"] = _watch(options, client, UNCOMPRESSED)
            nursery.start_soon(watches["plain"].listen, options.seconds)
    seen = {name: watch.observation() for name, watch in watches.items()}
    examination = Examination(
        main=seen["main"],
        plain=seen.get("plain"),
        again=seen.get("again"),
        beside=seen.get("beside"),
        is_local=is_local(urlsplit(seen["main"].url).hostname or ""),
        repeatable=repeatable,
    )
    return await _try_to_resume(examination, options, client) if repeatable else examination


async def _try_to_resume(
    seen: Examination, options: Options, client: httpx.AsyncClient
) -> Examination:
    after = _place_to_resume(seen.sent)
    if not after:
        return seen
    headers = {"last-event-id": after}
    if seen.plain is not None:
        headers |= UNCOMPRESSED
    watch = _watch(options, client, headers)
    as_late_again = 2 * (seen.sent.answered or 0.0)
    await watch.listen(min(_RESUMING + as_late_again, options.seconds), _shows_where)
    return replace(seen, resumed=watch.observation(), resumed_after=after)


def _watch(
    options: Options,
    client: httpx.AsyncClient,
    headers: Mapping[str, str] | None = None,
    url: str | None = None,
) -> Watch:
    as_browser = httpx.Headers(
        {
            "accept": "text/event-stream",
            "accept-encoding": accepted_codings(),
            "cache-control": "no-cache",
        }
    )
    for given in (options.headers, headers or {}):
        as_browser.update(given)
    return Watch(client, options.method, url or options.url, as_browser, options.content)


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
