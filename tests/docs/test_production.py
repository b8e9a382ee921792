"""The page on production: its program and its files, run by Hypercorn and read by systemd."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import trio

from tests.metrics.figures import parsed
from tests.support.hypercorn_process import hypercorn
from tests.support.raw import read_until, send_request

PAGE = Path(__file__).parents[2] / "docs/production.md"


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


async def test_the_service_serves_counts_and_logs(tmp_path: Path) -> None:
    (tmp_path / "service.py").write_text(block("python"))
    config = tomllib.loads(block("toml"))
    del config["bind"], config["worker_class"]
    env = {"PYTHONPATH": str(tmp_path)}
    async with hypercorn("service:app", env=env, **config) as server, server.client() as client:
        async with await server.connect() as stream:
            await send_request(stream, "/events/news/today")
            await read_until(stream, b"retry: ")
            health = await client.get("/health")
            assert (health.status_code, health.json()) == (200, {"broker": True})
            [active] = values("active_streams", (await client.get("/metrics")).text)
            assert active == 1
        with trio.fail_after(30):
            while values("ended_streams_total", (await client.get("/metrics")).text) != [1]:
                await trio.sleep(0.02)


def values(name: str, text: str) -> list[float]:
    return [value for (of, _), value in parsed(text).items() if of == f"trio_stream_server_{name}"]


async def test_its_log_has_time_level_and_name(tmp_path: Path) -> None:
    failing = (
        "\n\nimport httpx\n"
        "async def failing(request: Request) -> Stream:\n"
        "    async def ask() -> None:\n"
        "        raise httpx.ConnectError('nobody there')\n"
        "    return Stream(ask())\n\n\n"
        "app = StreamMiddleware(Starlette(routes=[Route('/', failing)]))\n"
    )
    (tmp_path / "service.py").write_text(block("python") + failing)
    app = hypercorn("service:app", env={"PYTHONPATH": str(tmp_path)}, expect_errors=True)
    async with app as server, server.client() as client:
        await client.get("/")
        pattern = r"\d{4}-\d\d-\d\d [\d:,]+ ERROR \d+ trio_stream: answered 502"
        await server.process.wait_for_log(pattern)


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    unit = block("ini").replace("/srv/service/.venv/bin/hypercorn", "/bin/true")
    file = tmp_path / "service.service"
    file.write_text(unit.replace("User=service", "User=root"))
    done = subprocess.run([program, "verify", str(file)], capture_output=True, text=True)
    assert "service.service:" not in done.stderr, done.stderr
