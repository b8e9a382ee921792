"""What the tests of a streaming application need: a client that reads while the application runs.

::

    from trio_stream.testing import connect

    async def test_the_price_is_sent(autojump_clock):
        async with connect(app, "/prices/AAPL") as client:
            assert client.status == 200
            event = await client.receive_event()
            assert event.json() == {"bid": 1}
        # The client has left, and nothing of the application runs any longer.

No socket is opened and nothing is waited for in real time, but for a worker thread's work (see
`real_time`).
"""

from __future__ import annotations

from ._broker import check_broker
from .client import Client, connect
from .clock import real_time
from .lifespan import lifespan

__all__ = ["Client", "check_broker", "connect", "lifespan", "real_time"]
