"""The inspector's page in Chromium: streams open, stall and are ended, and names stay text."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import trio

from tests.support.chromium import Browser, chromium
from tests.support.hypercorn_process import Server, hypercorn
from trio_stream import EventSource

APPS = "tests.inspector.apps"
HOSTILE = "/resting/<img src=x onerror=document.title='owned'>"


@asynccontextmanager
async def asking(server: Server, path: str) -> AsyncIterator[trio.abc.Stream]:
    """A client that asks for a stream, and reads nothing unless the test does."""
    stream = await server.connect()
    async with stream:
        quoted = path.replace(" ", "%20").replace("<", "%3C").replace(">", "%3E")
        await stream.send_all(f"GET {quoted} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        yield stream


def row(path: str) -> str:
    """The JavaScript for the row of the stream whose request this is."""
    rows = "[...document.querySelectorAll('#open tr')]"
    return f"{rows}.find(row => row.cells[0].textContent == {f'GET {path}'!r})"


async def first_event(client: httpx.AsyncClient) -> Any:
    """What the feed says of itself."""
    async with EventSource("/inspect", client=client) as source:
        return json.loads((await source.receive()).data)


async def press(browser: Browser, *keys: str) -> None:
    """Press these keys, one after another, wherever the focus is."""
    codes = {"Enter": 13, "Tab": 9, "Escape": 27}
    for key in keys:
        event = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
        text = {"text": "\r"} if key == "Enter" else {}
        await browser.devtools("Input.dispatchKeyEvent", type="keyDown", **event, **text)
        await browser.devtools("Input.dispatchKeyEvent", type="keyUp", **event)


async def test_a_stream_opens_stalls_and_is_ended() -> None:
    async with hypercorn(f"{APPS}:app") as server, chromium() as browser:
        await browser.open(f"{server.url}/inspect")
        await browser.wait_until("document.querySelector('#connection.live')")
        async with asking(server, "/flooding/1") as client:
            await browser.wait_until(f"{row('/flooding/1')}?.querySelector('.stuck')")
            await browser.wait_until(
                "document.querySelector('[data-total=stuck]').textContent == 1"
            )
            end = f"{row('/flooding/1')}.querySelector('.end')"
            await browser.run(f"{end}.click()")
            assert await browser.run(f"return {end}.textContent") == "End it now"
            await browser.run(f"{end}.click()")
            await browser.wait_until("document.querySelector('#said').textContent.includes('told')")
            while await client.receive_some():  # its end is a proper one, once it reads
                pass
        ended = "document.querySelector('#ended tr').textContent"
        await browser.wait_until(
            f"document.querySelector('#ended tr') && {ended}.includes('closed')"
        )
        assert "GET /flooding/1" in await browser.run(f"return {ended}")
        await browser.wait_until(f"!{row('/flooding/1')}")
        assert await browser.console() == []


async def test_one_is_looked_at_by_keyboard_alone_and_names_stay_text() -> None:
    async with (
        hypercorn(f"{APPS}:app") as server,
        chromium() as browser,
        asking(server, HOSTILE),
    ):
        await browser.open(f"{server.url}/inspect")
        await browser.wait_until(row(HOSTILE))
        await browser.run(f"{row(HOSTILE)}.querySelector('button').focus()")
        await press(browser, "Enter")
        title = "document.querySelector('#details-title').textContent"
        await browser.wait_until(f"{title}.endsWith({HOSTILE!r})")
        await browser.wait_until("document.activeElement.id == 'details'")
        tasks = await browser.run("return document.querySelector('#details-tasks').textContent")
        assert "a task of its own" in tasks
        assert f"{APPS}.resting:" in tasks
        await press(browser, "Escape")
        await browser.wait_until("document.querySelector('#details').hidden")
        await browser.wait_until(
            f"document.activeElement == {row(HOSTILE)}.querySelector('button')"
        )
        # From the row's name on to its button, which wants to be pressed twice.
        await press(browser, "Tab", "Enter", "Enter")
        await browser.wait_until("document.querySelector('#ended').textContent.includes('closed')")
        assert await browser.run("return document.images.length") == 0
        assert await browser.run("return document.title") == "Streams"
        assert await browser.console() == []


async def test_it_fits_its_window_and_finds_and_sorts() -> None:
    async with (
        hypercorn(f"{APPS}:app") as server,
        chromium() as browser,
        trio.open_nursery() as own,
    ):

        async def keep(path: str) -> None:
            async with asking(server, path):
                await trio.sleep_forever()

        long = "/resting/" + "a-name-without-any-place-to-break-it-" * 4
        for path in ["/resting/orders/1", "/resting/prices", long]:
            own.start_soon(keep, path)
        for width in [1280, 390]:
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
            await browser.devtools("Emulation.setDeviceMetricsOverride", **size)
            await browser.open(f"{server.url}/inspect")
            await browser.wait_until(row(long))
            await browser.run(f"{row(long)}.querySelector('button').click()")
            await browser.wait_until("document.querySelector('#details-tasks li')")
            page = "document.documentElement"
            assert await browser.run(f"return {page}.scrollWidth <= {page}.clientWidth"), width
            await browser.run("document.querySelector('#details-close').click()")
        await browser.run(
            "const find = document.querySelector('[name=find]'); find.value = 'ORDERS';"
            "find.dispatchEvent(new Event('input'))"
        )
        await browser.wait_until(f"{row('/resting/orders/1')} && !{row('/resting/prices')}")
        await browser.reload()  # the address has kept it
        await browser.wait_until(f"{row('/resting/orders/1')} && !{row('/resting/prices')}")
        own.cancel_scope.cancel()


async def test_a_topics_events_are_shown_as_they_come_and_stay_text() -> None:
    async with (
        hypercorn(f"{APPS}:app") as server,
        chromium() as browser,
        asking(server, "/topics/__proto__") as subscriber,
    ):
        await subscriber.receive_some()
        await browser.open(f"{server.url}/inspect")
        await browser.wait_until("!document.querySelector('#parts').hidden")
        await browser.run("document.querySelector('[data-part=topics]').click()")
        names = "[...document.querySelectorAll('#topics button')]"
        name = f"{names}.find(button => button.textContent == '__proto__')"
        await browser.wait_until(name)
        await browser.run(f"{name}.click()")
        facts = "document.querySelector('#topic-facts').textContent"
        await browser.wait_until(f"{facts}.includes('ada')")
        await browser.run(
            "const form = document.querySelector('#publish');"
            "form.event.value = '<b>bold</b>'; form.data.value = arguments[0];"
            "form.requestSubmit()",
            HOSTILE,
        )
        await browser.wait_until(
            "document.querySelector('#said').textContent.includes('its id is')"
        )
        event = "document.querySelector('#events tr')"
        await browser.wait_until(f"{event}?.cells[0].textContent == '<b>bold</b>'")
        assert await browser.run(f"return {event}.lastChild.textContent") == HOSTILE
        assert await browser.run("return document.images.length") == 0
        assert await browser.run("return document.title") == "Topics"
        assert await browser.console() == []
        received = b""
        while HOSTILE.encode() not in received:
            received += await subscriber.receive_some()


async def test_a_run_is_stopped_from_there() -> None:
    async with (
        hypercorn(f"{APPS}:app") as server,
        chromium() as browser,
        asking(server, "/runs/essay") as watcher,
    ):
        await browser.open(f"{server.url}/inspect#show=topics")
        stop = "document.querySelector('#runs .end')"
        await browser.wait_until(
            f"{stop} && document.querySelector('#runs').textContent.includes('essay')"
        )
        await browser.run(f"{stop}.click(); {stop}.click()")
        received = b""
        while b'"stopped"' not in received:
            received += await watcher.receive_some()
        await browser.wait_until("!document.querySelector('#no-runs').hidden")


async def test_what_another_site_sends_is_refused_and_the_page_is_in_no_frame() -> None:
    async with (
        hypercorn(f"{APPS}:app") as server,
        chromium() as browser,
        server.client() as client,
        asking(server, "/resting/1") as stream,
    ):
        await stream.receive_some()
        told = await first_event(client)
        other = server.url.replace("127.0.0.1", "localhost")  # which is another site to a browser
        await browser.open(f"{other}/page")
        send = "return fetch(arguments[0], {method: 'POST', mode: 'no-cors', body: arguments[1]})"
        body = json.dumps({"do": "end", "process": told["process"], "stream": 1})
        send += ".catch(() => null).then(() => true)"
        await browser.run(send, f"{server.url}/inspect", body)
        await browser.run(
            "frame = document.createElement('iframe'); frame.src = arguments[0];"
            "document.body.append(frame);"
            "return new Promise(done => frame.addEventListener('load', () => done(true)))",
            f"{server.url}/inspect",
        )
        console = "\n".join(await browser.console())
        assert "frame-ancestors" in console, console
        # It was there still, for somebody who may.
        headers = {"content-type": "application/json"}
        answer = await client.post("/inspect", content=body, headers=headers)
        assert answer.json() == {"ended": 1}
