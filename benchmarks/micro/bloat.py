"""What a day's load leaves in PostgreSQL: the space of events that pass through a history.

`python -m benchmarks.micro.bloat` publishes 10 million events, of which 100,000 are kept, in each
of three ways and databases at the same time:

* 1,000 at once to one topic, which are rows of many events
* to 100 topics in turns, which are rows of a single event
* likewise, in transactions by the SQL function, and so through the outbox

A day takes 24 minutes: what is done every so often, autovacuum's rounds and a broker's, is done 60
times as often. It shows the most that the tables, with their indexes, have taken, what they take in
the end, and what the same rows take alone, after `VACUUM FULL`.
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable

import psycopg
import trio
from rich.console import Console

from tests.support.postgres_server import PostgresServer, postgres_server
from trio_stream import open_broker
from trio_stream.broker import Broker
from trio_stream.broker.contract import Entry
from trio_stream.broker.postgres import caretaker

KEPT, TOPICS, AT_ONCE = 100_000, 100, 1000

DAY, FASTER = 86_400, 60

BODY = b'event: order\ndata: {"state": "paid"}\n\n'

console = Console(highlight=False, width=200)

#: Of all tables with their indexes, and of the two that have events.
SIZES = b"""
SELECT sum(size), sum(size) FILTER (WHERE relname = 'events'),
       sum(size) FILTER (WHERE relname = 'outbox')
FROM (SELECT relname, pg_total_relation_size(oid) AS size FROM pg_class
      WHERE relnamespace = 'trio_stream'::regnamespace AND relkind = 'r') AS each
"""

IN_TURNS = b"""
SELECT trio_stream.publish('t/' || n % 100, '{"state": "paid"}', 'order')
FROM generate_series(1, 1000) AS n
"""


async def many_at_once(broker: Broker, url: str) -> None:
    await broker.publish_many("t", [{"state": "paid"}] * AT_ONCE, event="order")


async def in_turns(broker: Broker, url: str) -> None:
    await broker.engine.append([Entry(f"t/{n % TOPICS}", BODY) for n in range(AT_ONCE)])


async def in_transactions(broker: Broker, url: str) -> None:
    def transact() -> None:
        with psycopg.connect(url) as connection:
            connection.execute(IN_TURNS)

    await trio.to_thread.run_sync(transact)


WAYS: dict[str, tuple[Callable[[Broker, str], Awaitable[None]], int]] = {
    "many at once": (many_at_once, 1),
    "each alone": (in_turns, TOPICS),
    "in transactions": (in_transactions, TOPICS),
}


async def pass_through(server: PostgresServer, way: str, count: int) -> None:
    publish, topics = WAYS[way]
    options = {"history": KEPT // topics, "history_bytes": 2**30}
    url = server.database()
    most = [0.0] * 3
    pause = AT_ONCE / count * DAY / FASTER
    with psycopg.connect(url, autocommit=True) as connection:

        def sizes() -> list[float]:
            """In MiB."""
            [row] = connection.execute(SIZES).fetchall()
            return [float(size) / 2**20 for size in row]

        async with open_broker(url, **options) as broker:  # type: ignore[arg-type]
            for done in range(AT_ONCE, count + 1, AT_ONCE):
                async with trio.open_nursery() as nursery:  # however long it takes to publish
                    nursery.start_soon(trio.sleep, pause)
                    nursery.start_soon(publish, broker, url)
                most = [*map(max, most, sizes())]
                if done % (count // 20) < AT_ONCE:
                    show(f"{way}: {done:,}, now", sizes())
            await trio.sleep(3 * caretaker.ROUND)
            show(f"{way}, in the end", sizes())
        show(f"{way}, at most", most)
        connection.execute("VACUUM FULL trio_stream.events")
        connection.execute("VACUUM FULL trio_stream.outbox")
        [row] = connection.execute("SELECT sum(span), count(*) FROM trio_stream.events")
        show("{}, the same {:,} events in {:,} rows alone".format(way, *row), sizes())


def show(what: str, found: list[float]) -> None:
    console.print("{}: {:.1f} MiB, events {:.1f}, outbox {:.1f}".format(what, *found))


async def run(server: PostgresServer, count: int) -> None:
    async with trio.open_nursery() as nursery:
        for way in WAYS:
            nursery.start_soon(pass_through, server, way, count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=10_000_000)
    given = parser.parse_args()
    caretaker.ROUND /= FASTER
    options = {"synchronous_commit": "off", "autovacuum_naptime": "1s"}
    with postgres_server(shared_buffers="128MB", **options) as server:
        trio.run(run, server, given.events)


if __name__ == "__main__":
    main()
