"""An answer of a language model that survives a reload of the page, or of the network.

    hypercorn --worker-class trio examples.resumable:app     # then open http://127.0.0.1:8000

Needs Starlette besides (pip install starlette), but no model: this one talks nonsense. BROKER names
where answers are kept; with redis://localhost any worker goes on with what another has begun.

Known limits: whoever knows an answer's number can read it; a server of yours knows whose it is, and
checks. The model stops when nobody has watched for 20 seconds.
"""

import os
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from trio_stream import (
    Broker,
    ResumableRun,
    Stream,
    StreamMiddleware,
    last_event_id,
    open_broker,
)

WORDS = str(__doc__).split()  # all that this model knows


async def model(question: str, run: ResumableRun) -> None:
    """What asks the model, and sends its tokens as they come."""
    random.seed(question)
    for word in ["You", "asked", f"“{question[:60]}”.", *random.choices(WORDS, k=120)]:
        await run.send(f"{word} ")
        await trio.sleep(random.uniform(0.02, 0.12))


async def page(request: Request) -> FileResponse:
    return FileResponse(Path(__file__).with_name("pages") / "resumable.html")


async def answer(request: Request) -> Stream:
    """Begin the answer of this number, or go on with it where this client was."""
    broker: Broker = request.state.broker
    producer = partial(model, request.query_params.get("question", ""))
    after = last_event_id(request.scope)
    key = f"answers/{request.path_params['number']}"
    return Stream(broker.resumable(key, producer, after=after, linger=20))


async def stop(request: Request) -> Response:
    broker: Broker = request.state.broker
    await broker.stop_resumable(f"answers/{request.path_params['number']}")
    return Response(status_code=204)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[dict[str, Any]]:
    async with open_broker(os.environ.get("BROKER", "memory://")) as broker:
        yield {"broker": broker}


answers = [
    Route("/", page),
    Route("/answers/{number}", answer),
    Route("/answers/{number}/stop", stop, methods=["POST"]),
]
app = StreamMiddleware(Starlette(routes=answers, lifespan=lifespan))
