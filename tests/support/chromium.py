"""Debian's Chromium without a window, driven from Trio by the W3C WebDriver protocol.

Chromedriver speaks JSON over HTTP, so that httpx is all it takes: no thread, nothing downloaded.
"""

import base64
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import trio

from tests.support.need import need
from tests.support.processes import Process

# Nothing that Chromium does for itself may leave this machine or change from run to run.
ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",  # it refuses to run as root with one
    "--disable-gpu",
    "--disable-dev-shm-usage",  # containers have a small /dev/shm
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    "--window-size=1000,800",
]


class JavascriptError(Exception):
    """What WebDriver answered instead of a value; its message is the browser's."""


class Browser:
    """One browser with a profile (cookies, cache, history) of its own."""

    def __init__(self, client: httpx.AsyncClient, profile: Path) -> None:
        self._client = client
        self.profile = profile

    async def open(self, url: str) -> None:
        """Go to a page; returns when it has loaded (an EventSource may be just connecting)."""
        await self._post("url", url=url)

    async def reload(self) -> None:
        await self._post("refresh")

    async def back(self) -> None:
        """Press the back button."""
        await self._post("back")

    async def run(self, script: str, *arguments: Any) -> Any:
        """Run a function's body, with `arguments`, and return what it returns.

        A promise is awaited. Values are JSON's. An exception in it is a `JavascriptError`.
        """
        return await self._post("execute/sync", script=script, args=arguments)

    async def wait_until(self, expression: str, *, within: float = 60) -> Any:
        """Wait until a JavaScript expression is truthy, asking every 50 ms; its value."""
        deadline = time.monotonic() + within
        while not (value := await self.run(f"return {expression}")):
            if time.monotonic() > deadline:
                console = "\n".join(await self.console())
                page = f"{await self.text()}\nConsole:\n{console}"
                raise AssertionError(f"not in {within} s: {expression}\n{page}")
            await trio.sleep(0.05)
        return value

    async def text(self) -> str:
        """What a reader of the page sees."""
        return str(await self.run("return document.body.innerText"))

    async def console(self) -> list[str]:
        """What pages logged on the console since the last call, failed requests included."""
        return [entry["message"] for entry in await self._post("se/log", type="browser")]

    async def screenshot(self, path: Path) -> None:
        """Save what is visible as a PNG file."""
        answer = await self._client.get("screenshot")
        path.write_bytes(base64.b64decode(_value(answer)))

    async def devtools(self, command: str, **parameters: Any) -> Any:
        """A command of Chromium's DevTools protocol, such as `Network.emulateNetworkConditions`."""
        return await self._post("goog/cdp/execute", cmd=command, params=parameters)

    async def _post(self, path: str, **parameters: Any) -> Any:
        return _value(await self._client.post(path, json=parameters))


@asynccontextmanager
async def chromium(*arguments: str) -> AsyncIterator[Browser]:
    """Run a Chromium until the block ends. Skips the test when it is not installed."""
    binary, driver = need("chromium", "chromedriver")
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        profile = Path(folder) / "profile"
        options = [*ARGUMENTS, f"--user-data-dir={profile}", *arguments]
        home = {"HOME": folder, "XDG_CONFIG_HOME": folder, "XDG_CACHE_HOME": folder}
        process = await Process.start([driver, "--port=0"], Path(folder) / "log", env=home)
        try:
            [port] = await process.wait_for_log(r"started successfully on port (\d+)")
            url = await _new_session(f"http://127.0.0.1:{port}/session", binary, options)
            async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
                yield Browser(client, profile)
                _value(await client.delete(url))
        finally:
            await process.kill()


async def _new_session(driver: str, binary: str, arguments: list[str]) -> str:
    wanted = {
        "acceptInsecureCerts": True,  # the tests' own authority is not in its store
        "goog:chromeOptions": {"binary": binary, "args": arguments},
        "goog:loggingPrefs": {"browser": "ALL"},
    }
    async with httpx.AsyncClient(timeout=90, trust_env=False) as client:
        answer = await client.post(driver, json={"capabilities": {"alwaysMatch": wanted}})
    return f"{driver}/{_value(answer)['sessionId']}"


def _value(answer: httpx.Response) -> Any:
    value = answer.json()["value"]
    if answer.is_error:
        raise JavascriptError(f"{value['error']}: {value['message']}")
    return value
