"""The stream that feeds a page: what has changed in what it shows, about once a second."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from ..stream import Stream
from .guard import SAFE
from .pace import PERIOD, Pace
from .patch import merge_patch

__all__ = ["Picture", "feed_of"]

#: What a page shows, as one JSON object without nulls.
Picture = dict[str, Any]

#: Seconds after which a page has to ask anew, and is asked anew whether it may: plus or minus 10 %.
_MAY_WATCH = 3600.0


def feed_of(take: Callable[[Pace], Awaitable[Picture]], about: Picture) -> Stream:
    """Events ``about``, once, and then ``picture``: merge patches, the first of nothing.

    A page that takes nothing has one picture waiting, and the next is not made before that is gone.
    """

    async def send(stream: Stream) -> None:
        await stream.send({**about, "now": time.time(), "every": PERIOD}, event="about")
        shown, pace = Picture(), Pace()
        while not stream.draining.is_set():
            picture = await take(pace)
            with pace:
                patch = merge_patch(shown, picture)
            if patch:
                await stream.send(patch, event="picture")
            shown = picture
            with trio.move_on_after(pace.rest()):
                await stream.draining.wait()

    return Stream(send, buffer=1, max_duration=_MAY_WATCH, retry=2000, headers=SAFE)
