"""The headers of lazy sources wait, over real sockets: what refuses them is a status."""

from pathlib import Path

import httpx
import pytest

from tests.support.certificates import make_certificate
from tests.support.hypercorn_process import hypercorn

APP = "tests.serving.refusing_app:app"
EVENT_SOURCE = {"accept": "text/event-stream", "cache-control": "no-cache"}


async def check(client: httpx.AsyncClient) -> None:
    refused = await client.get("/refused")
    assert (refused.status_code, refused.headers["retry-after"]) == (502, "7")
    passed_on = await client.post("/passed-on")
    assert (passed_on.status_code, passed_on.json()) == (429, {"error": "busy"})
    answer = await client.get("/answer")
    assert answer.text == "retry: 3000\ndata: a\n\ndata: b\n\n"
    silent = await client.get("/silent")
    assert silent.status_code == 200
    assert silent.text.startswith("retry: 3000\n:\n")


async def test_over_http_1() -> None:
    async with hypercorn(APP, expect_errors=True) as server, server.client() as client:
        await check(client)
        # Without a status, which an EventSource could not read, the break is told.
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/refused", headers=EVENT_SOURCE)


async def test_over_http_2_and_tls(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    async with (
        hypercorn(APP, certificate=certificate, expect_errors=True) as server,
        server.client(http2=True) as client,
    ):
        await check(client)
