"""`ready_app` as it is mounted in a service: run by Hypercorn."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette

from trio_stream import open_broker, ready_app


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with open_broker(os.environ["BROKER"]) as broker:
        app.mount("/ready", ready_app(broker))
        yield


app = Starlette(lifespan=lifespan)
