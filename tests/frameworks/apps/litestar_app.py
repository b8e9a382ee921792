from typing import Any

from litestar import Litestar, get, post
from litestar.config.compression import CompressionConfig
from litestar.config.cors import CORSConfig

from tests.frameworks.apps import streams
from trio_stream import Stream, StreamMiddleware


@get("/endless")
async def endless() -> Stream:
    return streams.endless()


@post("/endless")
async def endless_post() -> Stream:
    return streams.endless()


@get("/finite")
async def finite() -> Stream:
    return streams.finite()


@get("/upstream-down")
async def upstream_down() -> Stream:
    return streams.upstream_down()


@get("/failing")
async def failing() -> Stream:
    return streams.failing()


@get("/lines")
async def lines() -> Stream:
    return streams.lines()


@post("/echo")
async def echo(data: dict[str, str]) -> Stream:
    return Stream([data["text"]])


@get("/uncompressed", opt={"no_compression": True})
async def uncompressed() -> Stream:
    return streams.finite()


@get("/ended", sync_to_thread=False)
def ended() -> list[dict[str, Any]]:
    return streams.ended


handlers = [endless, endless_post, finite, upstream_down, failing, lines, echo, uncompressed, ended]
cors = CORSConfig(allow_origins=["https://example.org"], allow_credentials=True)

app = Litestar(handlers, cors_config=cors)
direct = StreamMiddleware(app)  # type: ignore[arg-type]
compressing = Litestar(
    handlers,
    compression_config=CompressionConfig(backend="gzip", exclude_opt_key="no_compression"),
)
