"""The stream that feeds a page: what has changed in what it shows, about once a second."""

from __future__ import annotations

import time

import trio

from ..stream import Stream
from ..stream.options.access import Authorize
from .guard import SAFE
from .pace import Pace
from .patch import merge_patch
from .scene import Picture, Scene

__all__ = ["feed_of"]

#: Seconds, plus or minus 10 %, after which it is asked anew whether a page may see this.
_MAY_WATCH = 60.0


def feed_of(scene: Scene, about: Picture, authorize: Authorize) -> Stream:
    """Events ``about``, once, and then ``picture``: merge patches, the first of nothing.

    A page that takes nothing has one picture waiting, and the next is not made before that is gone.
    """

    async def send(stream: Stream) -> None:
        try:
            await show(stream)
        finally:
            scene.close()

    async def show(stream: Stream) -> None:
        if scene.ear is not None:
            stream.start_soon(scene.ear)
        shown, pace = Picture(), Pace()
        # Before the first event: what waits of this very stream would be counted as queued.
        picture = await scene.take(pace)
        await stream.send({**about, "now": time.time()}, event="about")
        while not stream.draining.is_set():
            with pace:
                patch = merge_patch(shown, picture)
            if patch:
                await stream.send(patch, event="picture")
            shown = picture
            with trio.move_on_after(pace.rest()):
                await stream.draining.wait()
            picture = await scene.take(pace)
        stream.close()

    # But for `cache-control`: a stream's own keeps proxies from compressing it, too.
    headers = {name: value for name, value in SAFE.items() if name != "cache-control"}
    return Stream(
        send, buffer=1, authorize=authorize, recheck=_MAY_WATCH, retry=2000, headers=headers
    )
