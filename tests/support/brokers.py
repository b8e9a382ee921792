"""A broker of any engine, for tests of what all of them do alike."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory
from typing import Any

from tests.support.redis_server import redis_server
from trio_stream.broker import Broker, open_broker

__all__ = ["ENGINES", "broker_of"]

ENGINES = ["memory", "sqlite", "redis"]


@asynccontextmanager
async def broker_of(engine: str, **options: Any) -> AsyncIterator[Broker]:
    """With a new log. Skips the test when Redis is not installed."""
    if engine == "redis":
        async with redis_server() as server, open_broker(server.url, **options) as broker:
            yield broker
        return
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/log.db" if engine == "sqlite" else "memory://"
        async with open_broker(url, **options) as broker:
            yield broker
