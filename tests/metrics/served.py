"""A service whose workers tell each other's metrics."""

from __future__ import annotations

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from trio_stream import Stream
from trio_stream.prometheus import metrics_app


async def numbers(request: Request) -> Stream:
    return Stream(range(3), label="numbers")


app = Starlette(
    routes=[
        Route("/numbers", numbers),
        Route("/metrics", metrics_app(workers=os.environ["WORKERS"])),
    ]
)
