"""A live dashboard: a chart of the last two minutes, there at once, and the figures of this moment.

    hypercorn --worker-class trio examples.dashboard:app     # then open http://127.0.0.1:8000

Needs Starlette besides (pip install starlette). The prices are made up.

Known limits: the chart gets every price, however slow its client is; the figures are only ever the
newest, which is what `overflow="latest"` and a small `buffer` are for.
"""

import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from time import time
from typing import Any

import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from trio_stream import Broker, Stream, StreamMiddleware, last_event_id, open_broker

PRICES = {"apples": 120.0, "pears": 95.0, "plums": 60.0}


async def page(request: Request) -> FileResponse:
    return FileResponse(Path(__file__).with_name("pages") / "dashboard.html")


async def chart(request: Request) -> Stream:
    """Every price of the last two minutes, or those that this client has missed, and on."""
    broker: Broker = request.state.broker
    after = last_event_id(request.scope) or "earliest"
    return Stream(broker.subscribe("prices/*", after=after))


async def figures(request: Request) -> Stream:
    """Of each price only the newest."""
    broker: Broker = request.state.broker
    return Stream(broker.subscribe("prices/*", after="earliest", overflow="latest"), buffer=1)


async def market(broker: Broker) -> None:
    prices = dict(PRICES)
    while True:
        for name in prices:
            prices[name] = max(1.0, prices[name] * random.gauss(1, 0.006))
            price = {"name": name, "price": round(prices[name], 2), "at": time()}
            await broker.publish(f"prices/{name}", price)
        await trio.sleep(0.25)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[dict[str, Any]]:
    async with open_broker(history_age=120) as broker, trio.open_nursery() as nursery:
        nursery.start_soon(market, broker)
        yield {"broker": broker}
        nursery.cancel_scope.cancel()


views = [Route("/", page), Route("/chart", chart), Route("/figures", figures)]
app = StreamMiddleware(Starlette(routes=views, lifespan=lifespan))
