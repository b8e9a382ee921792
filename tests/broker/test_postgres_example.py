"""The example with PostgreSQL, in Chromium: an order is paid, by the page and by somebody else."""

from collections.abc import Iterator

import psycopg
import pytest
import trio

from tests.support.chromium import chromium
from tests.support.hypercorn_process import hypercorn
from tests.support.postgres_server import PostgresServer, postgres_server


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


PAID = "[...document.querySelectorAll('li .paid')].map(item => item.parentNode.id).join()"

#: As docs/postgresql.md has it.
BY_PSQL = """
UPDATE orders SET state = 'paid' WHERE id = 2;
SELECT trio_stream.publish('orders/2', '{"id": 2, "state": "paid"}', event => 'order')
"""


async def test_a_page_shows_an_order_being_paid(server: PostgresServer) -> None:
    url = server.database()
    env = {"DATABASE": url}
    async with hypercorn("examples.orders:app", env=env) as app, chromium() as browser:
        await browser.open(app.url)
        await browser.wait_until("document.body.innerText.includes('As they are, now.')")
        assert await browser.run("return document.querySelectorAll('li button').length") == 5
        await browser.run("document.querySelector('#order-4 button').click()")
        await browser.wait_until(f"{PAID} === 'order-4'")

        def pay() -> None:
            with psycopg.connect(url) as connection:
                connection.execute(BY_PSQL)

        await trio.to_thread.run_sync(pay)
        await browser.wait_until(f"{PAID} === 'order-2,order-4'")
        await browser.reload()
        await browser.wait_until(f"{PAID} === 'order-2,order-4'")
