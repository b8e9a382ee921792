"""Chromium's own EventSource, and curl, on the demo and on small streams of the tests' own."""

from typing import Any

from tests.support.chromium import Browser, chromium
from tests.support.hypercorn_process import hypercorn
from tests.support.need import need
from tests.support.processes import Process

DEMO = "examples.demo:app"
APPS = "tests.real.browser_apps"

RECORD = """
window.seen = [];
window.source = new EventSource(arguments[0]);
const note = event => seen.push({
  type: event.type, data: event.data, id: event.lastEventId, at: performance.now(),
});
const types = ["open", "error", "message", ...arguments[1]];
for (const type of types) source.addEventListener(type, note);
"""


def text_of(selector: str) -> str:
    """The JavaScript for what this element of the page says."""
    return f"document.querySelector('{selector}')?.textContent"


async def record(browser: Browser, url: str, *names: str) -> None:
    """Open an EventSource in the page that is open; what it hears goes into `seen`."""
    await browser.run(RECORD, url, list(names))


async def seen(browser: Browser, count: int, type: str) -> list[dict[str, Any]]:
    """The first `count` events of this type."""
    chosen = f"seen.filter(event => event.type == '{type}')"
    await browser.wait_until(f"{chosen}.length >= {count}")
    events: list[dict[str, Any]] = await browser.run(f"return {chosen}.slice(0, {count})")
    return events


async def test_the_demo_page_shows_all_four_streams_live_and_lets_go_of_them() -> None:
    async with hypercorn(DEMO) as server, chromium() as browser:
        await browser.open(server.url)
        for name in ["callback", "value", "proxied"]:
            await browser.wait_until(f"document.querySelector('#{name} .state.open')")
        await browser.wait_until(rf"/^\d+:\d+:\d+/.test({text_of('#clock')})")
        await browser.wait_until(f"Number({text_of('#price')}) > 50")
        await browser.run("form = document.querySelector('#value form')")
        await browser.run("form.text.value = '<b>hello</b>'; form.requestSubmit()")
        await browser.wait_until(f"{text_of('#said li')} == '<b>hello</b>'")
        await browser.wait_until("document.querySelector('#automatic .state.done')")
        typed = await browser.run(f"return {text_of('#typed')}")
        assert typed.endswith("nobody has to clean up.")
        assert "data: that was all" in await browser.text()
        # The callback ends after ten events; the browser returns, and it goes on where it was.
        reconnecting = "document.querySelector('#callback .state.reconnecting')"
        await browser.wait_until(reconnecting)
        note = f"{text_of('#callback .note')}.includes('with Last-Event-ID: 10')"
        await browser.wait_until(note)
        await browser.wait_until(f"{text_of('#callback .wire')}.includes('id: 11 ')")
        # Of the four the automatic one has ended by itself.
        await browser.wait_until(f"{text_of('#open-streams')} == 3")
        await browser.run("document.querySelector('#proxied button').click()")
        await browser.wait_until(f"{text_of('#open-streams')} == 2")
        assert await browser.console() == []


async def test_names_ids_and_types_as_the_browser_sees_them() -> None:
    async with hypercorn(f"{APPS}:app") as server, chromium() as browser:
        await browser.open(f"{server.url}/page")
        await record(browser, "/events", "tick")
        [message] = await seen(browser, 1, "message")
        assert (message["data"], message["id"]) == ("unnamed", "")
        tick, multiline, unicode = await seen(browser, 3, "tick")
        assert (tick["data"], tick["id"]) == ('{"n":1}', "7")
        assert (multiline["data"], multiline["id"]) == ("two\nlines", "7")
        assert (unicode["data"], unicode["id"]) == ("grüße ✓", "ä")


async def test_it_returns_after_retry_with_the_last_id_and_stays_away_after_204() -> None:
    async with hypercorn(f"{APPS}:app") as server, chromium() as browser:
        await browser.open(f"{server.url}/page")
        await record(browser, "/resumed", "count")
        events = await seen(browser, 6, "count")
        assert [event["id"] for event in events] == ["1", "2", "3", "4", "5", "6"]
        # `retry: 200` alone in its line, in front of the first event, was obeyed at once.
        assert events[3]["at"] - events[2]["at"] < 2900  # the browser's own are 3 s
        await browser.wait_until("source.readyState == EventSource.CLOSED")
        assert len(await browser.run("return seen.filter(event => event.type == 'count')")) == 6


async def test_a_retry_without_any_event_is_obeyed_too() -> None:
    async with hypercorn(f"{APPS}:app") as server, chromium() as browser:
        await browser.open(f"{server.url}/page")
        await record(browser, "/only-retry")
        errors = await seen(browser, 3, "error")
        assert errors[2]["at"] - errors[1]["at"] < 2900  # and not the browser's own 3 s


async def test_pings_reach_no_listener() -> None:
    async with hypercorn(f"{APPS}:app") as server, chromium() as browser:
        await browser.open(f"{server.url}/page")
        await record(browser, "/pinged")
        events = await seen(browser, 2, "message")
        assert [event["data"] for event in events] == ["before", "after"]


async def test_closing_the_page_ends_its_streams() -> None:
    async with hypercorn(f"{APPS}:app") as server, chromium() as browser:
        await browser.open(f"{server.url}/page")
        await record(browser, "/pinged")
        await seen(browser, 1, "message")
        await browser.open("about:blank")
        await server.process.wait_for_log("/pinged ended: disconnected")


async def test_curl_prints_events_as_they_come(tmp_path: Any) -> None:
    [curl] = need("curl")
    async with hypercorn(DEMO) as server:
        process = await Process.start([curl, "-sN", f"{server.url}/callback"], tmp_path / "out")
        try:
            await process.wait_for_log("id: 1\nevent: tick\ndata: ")
            await process.wait_for_log("id: 3\nevent: tick\ndata: ")
            assert "id: 10\n" not in process.log()  # it comes nine seconds after the first
        finally:
            await process.kill()


async def test_the_demo_page_fits_its_window() -> None:
    async with hypercorn(DEMO) as server, chromium() as browser:
        for width in [1280, 390]:
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
            await browser.devtools("Emulation.setDeviceMetricsOverride", **size)
            await browser.open(server.url)
            await browser.wait_until("document.querySelector('#callback .state.open')")
            page = "document.documentElement"
            assert await browser.run(f"return {page}.scrollWidth <= {page}.clientWidth"), width
