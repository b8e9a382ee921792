"""The examples with topics, in Chromium: what two people see, what a reload keeps."""

import os
from pathlib import Path

import httpx
import pytest

from tests.support.chromium import chromium
from tests.support.hypercorn_process import hypercorn
from tests.support.raw import read_until, send_request

#: Where to save what the pages look like, for a person to look at.
PICTURES = os.environ.get("PICTURES")


async def picture(browser, name: str) -> None:  # type: ignore[no-untyped-def]
    if PICTURES:
        await browser.screenshot(Path(PICTURES) / f"{name}.png")


SAY = "form.text.value = arguments[0]; form.requestSubmit()"
TALK = "[...document.querySelectorAll('.mine, .theirs')].map(item => item.lastChild.textContent)"


async def test_two_pages_of_a_chat_room_see_each_other_and_a_reload_misses_nothing() -> None:
    async with (
        hypercorn("examples.chat_room:app") as server,
        chromium() as ann,
        chromium() as bob,
    ):
        await ann.open(f"{server.url}/?name=ann")
        await ann.wait_until("document.querySelector('.state.open')")
        await bob.open(f"{server.url}/?name=bob")
        await ann.wait_until("document.body.innerText.includes('bob came in')")
        await ann.wait_until("document.body.innerText.includes('Here: ann, bob')")
        await ann.run(SAY, "hello, bob")
        await bob.wait_until("document.body.innerText.includes('hello, bob')")
        await bob.run(SAY, "hello, ann")
        await ann.wait_until("document.body.innerText.includes('hello, ann')")
        # Bob's network is away for a moment, and what is said meanwhile is there when it is back.
        await bob.devtools("Network.enable")
        offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        await bob.devtools("Network.emulateNetworkConditions", offline=True, **offline)
        for n in range(5):
            await ann.run(SAY, f"line {n}")
        await ann.wait_until(f"{TALK}.length == 7")
        await bob.devtools("Network.emulateNetworkConditions", offline=False, **offline)
        await bob.reload()
        for n in range(5, 8):
            await ann.run(SAY, f"line {n}")
        wanted = ["hello, bob", "hello, ann", *(f"line {n}" for n in range(8))]
        talks = []
        for browser in (ann, bob):
            await browser.wait_until(f"{TALK}.length >= {len(wanted)}")
            talks.append(await browser.run(f"return {TALK}"))
        # One order for everybody; which it is depends on whose request was faster.
        assert talks[0] == talks[1]
        assert sorted(talks[0]) == sorted(wanted)
        await picture(ann, "chat_room")
        await bob.open("about:blank")
        await ann.wait_until("document.body.innerText.includes('bob left')")


@pytest.mark.parametrize("room", ["*", "**"])
async def test_no_chat_room_is_all_of_them(room: str) -> None:
    async with hypercorn("examples.chat_room:app") as server, httpx.AsyncClient() as client:
        url = f"{server.url}/rooms/{room}"
        said = {"name": "eve", "text": "hello"}
        for answer in (
            await client.get(url, params={"name": "eve"}),
            await client.post(url, json=said),
            await client.get(f"{url}/present"),
        ):
            assert answer.status_code == 400
            assert "is a pattern" in answer.text


async def test_the_dashboard_shows_its_chart_at_once_and_live() -> None:
    points = "[...document.querySelectorAll('polyline')].map(l => l.points.length)"
    before = "one.points.filter(([at]) => at < performance.timeOrigin / 1000).length >= 8"
    there = f"{points}.length == 3 && [...series.values()].every(one => {before}) && {points}"
    async with hypercorn("examples.dashboard:app") as server, chromium() as browser:
        async with await server.connect() as stream:
            await send_request(stream, "/chart")
            received = b""
            while received.count(b"data: ") < 3 * 9:
                received += await read_until(stream, b"data: ")
        await browser.open(server.url)
        counts = await browser.wait_until(there)
        await browser.wait_until(f"Math.min(...{points}) > {counts[0] + 4}")
        await browser.wait_until("document.querySelectorAll('.figure').length == 3")
        await picture(browser, "dashboard")
        await browser.open("about:blank")
        await browser.back()
        counts = await browser.wait_until(there)
        await browser.wait_until(f"Math.min(...{points}) > {counts[0] + 4}")
        assert not [line for line in await browser.console() if "Error" in line]


async def test_an_answer_survives_a_reload_and_is_watched_twice() -> None:
    text = "document.getElementById('answer').textContent"
    async with (
        hypercorn("examples.resumable:app") as server,
        chromium() as browser,
        chromium() as other,
    ):
        await browser.open(server.url)
        await browser.run("form.question.value = 'why?'; form.requestSubmit()")
        await browser.wait_until(f"{text}.length > 60")
        await picture(browser, "resumable")
        before = await browser.run(f"return {text}")
        await browser.reload()
        await browser.wait_until(f"{text}.length >= {len(before)}")
        assert (await browser.run(f"return {text}")).startswith(before)
        await other.open(await browser.run("return location.href"))
        for page in (browser, other):
            await page.wait_until(f"{text}.length && state.textContent == 'done'")
        whole = await browser.run(f"return {text}")
        assert len(whole.split()) > 120
        assert await other.run(f"return {text}") == whole
        await other.run("form.question.value = 'and?'; form.requestSubmit()")
        await other.wait_until(f"{text}.length > 20")
        await other.run("stop.click()")
        await other.wait_until("state.textContent == 'stopped'")
