"""A long job, and its progress as a bar in the page.

    hypercorn --worker-class trio examples.progress:app     # then open http://127.0.0.1:8000

The job is a plain blocking generator, so it runs in a worker thread; the page sees each value that
it yields. When the page is closed, the job is stopped at its next `yield`.

Known limits: the job belongs to the one who watches it. One that should go on without a watcher,
and be there after a reload, is for `Broker.start_resumable`. And this work is done outside of
Python's lock; work that is Python all through would slow the whole server down.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trio_stream import ServerSentEvent, Stream, stream_app

PAGE = Path(__file__).with_name("pages").joinpath("progress.html").read_text()
STEPS = 100


def work() -> Iterator[ServerSentEvent]:
    """Stretch a password, which is slow on purpose."""
    key = b"a secret"
    for step in range(1, STEPS + 1):
        key = hashlib.pbkdf2_hmac("sha256", key, b"salt", 60_000)
        yield ServerSentEvent({"step": step, "steps": STEPS}, event="progress")
    yield ServerSentEvent({"key": key.hex()}, event="done")  # the page does not come back after it


@stream_app(format="text", headers={"content-type": "text/html; charset=utf-8"})
async def page(stream: Stream) -> None:
    await stream.send(PAGE)


async def app(scope: Any, receive: Any, send: Any) -> None:
    # `page` is a whole app: it also runs the lifespan.
    answer = Stream(work()) if scope.get("path") == "/job" else page
    await answer(scope, receive, send)
