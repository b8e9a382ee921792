"""Orders in PostgreSQL, on a page that shows them being paid: the event is part of the payment.

    createdb shop && trio-stream migrate postgresql:///shop
    hypercorn --worker-class trio examples.orders:app        # then open http://127.0.0.1:8000

Needs Starlette and psycopg besides (pip install starlette 'psycopg[binary]'). DATABASE names the
database, if it is not postgresql:///shop.

Known limits: anybody sees and pays all orders. Each payment opens a connection: use a pool.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from trio_stream import Broker, Stream, StreamMiddleware, last_event_id, open_broker, publish

DATABASE = os.environ.get("DATABASE", "postgresql:///shop")
MAKE = "CREATE TABLE IF NOT EXISTS orders (id int PRIMARY KEY, state text NOT NULL DEFAULT 'open')"
FILL = "INSERT INTO orders SELECT generate_series(1, 5) ON CONFLICT DO NOTHING"


def make_table() -> None:
    with psycopg.connect(DATABASE) as connection:
        connection.execute(f"{MAKE}; {FILL}")


def all_orders() -> list[dict[str, Any]]:
    with psycopg.connect(DATABASE) as connection:
        rows = connection.execute("SELECT id, state FROM orders ORDER BY id")
        return [{"id": id, "state": state} for id, state in rows]


def pay_order(id: int) -> None:
    with psycopg.connect(DATABASE) as connection:  # it is paid and told to be, or neither
        paid = "UPDATE orders SET state = 'paid' WHERE id = %s AND state = 'open'"
        if connection.execute(paid, [id]).rowcount:
            publish(connection, f"orders/{id}", {"id": id, "state": "paid"}, event="order")


async def page(request: Request) -> FileResponse:
    return FileResponse(Path(__file__).with_name("pages") / "orders.html")


async def orders(request: Request) -> Response:
    broker: Broker = request.state.broker
    last = broker.last_id  # before the rows are read: whatever changes from now on is told as well
    return JSONResponse({"last": last, "orders": await trio.to_thread.run_sync(all_orders)})


async def events(request: Request) -> Stream:
    broker: Broker = request.state.broker
    return Stream(broker.subscribe("orders/*", after=last_event_id(request.scope)))


async def pay(request: Request) -> Response:
    await trio.to_thread.run_sync(pay_order, request.path_params["id"])
    return Response(status_code=204)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[dict[str, Any]]:
    await trio.to_thread.run_sync(make_table)
    async with open_broker(DATABASE) as broker:
        yield {"broker": broker}


paths = [Route("/", page), Route("/orders", orders), Route("/events", events)]
paths += [Route("/orders/{id:int}/pay", pay, methods=["POST"])]
app = StreamMiddleware(Starlette(routes=paths, lifespan=lifespan))
