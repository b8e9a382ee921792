"""The server's own side of its streams, live: which are open, their tasks, and how others ended.

    hypercorn --worker-class trio examples.overview:app     # then: curl -N http://127.0.0.1:8000

The demo shows it beside its streams: their `on_end=ended` tells when a client leaves or stalls.

Known limits: it is of this process alone, and of no use to strangers: keep it to yourself, or to
those who are logged in.
"""

from collections import deque
from time import time
from typing import Any

from trio_stream import Stream, open_streams, outcome_counts, stream_app

recent: deque[dict[str, Any]] = deque(maxlen=6)


def ended(stream: Stream) -> None:
    recent.append({"path": path_of(stream), "outcome": stream.outcome, "at": time()})


def path_of(stream: Stream) -> str:
    return str((stream.scope or {}).get("path", "?"))


def picture() -> dict[str, Any]:
    return {
        "open": [
            {
                "path": each.request.rpartition(" ")[2],
                "tasks": each.tasks,
                "events": each.statistics.events,
                "queued": each.statistics.queued,
            }
            for each in open_streams()
        ],
        "ended": list(recent),
        "outcomes": outcome_counts(),
    }


@stream_app(event="server", on_end=ended)
async def app(stream: Stream) -> None:
    last = None
    while True:
        if (now := picture()) != last:
            await stream.send(now)
            last = now
        await stream.wait(0.5)
