"""Behind nginx, HAProxy and Apache: well configured they are fine, and what they hold is told.

All at once, since it takes seconds to see what is late.
"""

from __future__ import annotations

from pathlib import Path

import trio

from tests.doctor.test_verdicts import complaints
from tests.proxies.proxies import documented, proxy
from tests.support.hypercorn_process import hypercorn
from trio_stream.client.connecting.http_client import make_client
from trio_stream.doctor.complaints import Finding
from trio_stream.doctor.examine import Options, examine
from trio_stream.doctor.verdicts import judge


async def look(
    folder: Path, path: str, proxies: dict[str, str | None], *, seconds: float = 2
) -> dict[str, list[Finding]]:
    """What is found behind each of these; a name's second word tells it from another of its kind.

    As docs/proxies.md configures it, or by this text.
    """
    found = {}

    async def examine_one(name: str, upstream: int) -> None:
        own = folder / name.replace(" ", "-")
        own.mkdir()
        async with proxy(name.split()[0], upstream, own, proxies[name]) as port:
            url = f"http://127.0.0.1:{port}/events/{path}"
            async with make_client(url) as client:
                options = Options(url=url, seconds=seconds)
                found[name] = judge(await examine(options, client))
                # On a busy machine it is the machine that holds back, sometimes.
                for _ in range(5 if proxies is AS_DOCUMENTED else 0):
                    if "held-back" not in complaints(found[name]):
                        break
                    found[name] = judge(await examine(options, client))

    app = hypercorn("tests.proxies.apps:behind", expect_errors=path == "failing")
    async with app as server, trio.open_nursery() as nursery:
        for name in proxies:
            nursery.start_soon(examine_one, name, server.port)
    return found


AS_DOCUMENTED = dict.fromkeys(["nginx", "haproxy", "apache"])


async def test_as_the_page_has_them_nothing_is_wrong(tmp_path: Path) -> None:
    for findings in (await look(tmp_path, "counting", AS_DOCUMENTED)).values():
        assert complaints(findings) == set(), findings
        levels = {finding.subject: finding.level for finding in findings}
        assert levels["buffering"] == levels["resuming"] == levels["end"] == "fine"


async def test_an_end_that_is_broken_is_told(tmp_path: Path) -> None:
    for findings in (await look(tmp_path, "failing", AS_DOCUMENTED)).values():
        assert "broken-end" in complaints(findings), findings


async def test_what_holds_back_is_told(tmp_path: Path) -> None:
    nginx = documented("nginx")
    heedless = nginx.replace("proxy_pass", "proxy_ignore_headers X-Accel-Buffering; proxy_pass")
    compress = "gzip on; gzip_types text/event-stream; gzip_proxied any; proxy_pass"
    found = await look(
        tmp_path,
        "counting",
        {
            "nginx buffering": heedless.replace("proxy_http_version 1.1;", ""),
            "nginx compressing": heedless.replace("proxy_pass", compress),
            # It waits 200 ms whether there is more to come.
            "haproxy waiting": documented("text").replace("option http-no-delay", ""),
        },
        seconds=4,
    )
    assert "held-back" in complaints(found["nginx buffering"]), found
    assert "compression-holds-back" in complaints(found["nginx compressing"]), found
    assert "held-back" in complaints(found["haproxy waiting"]), found
    for name in ("nginx buffering", "nginx compressing"):
        [proxies] = [finding for finding in found[name] if finding.subject == "proxies"]
        assert "nginx in between" in proxies.seen
