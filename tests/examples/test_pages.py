"""What the pages of the examples promise, in Chromium: nothing lost, and everything legible."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.chromium import Browser, chromium
from tests.support.hypercorn_process import hypercorn

#: Where to save what the pages look like, for a person to look at, and for README.
PICTURES = os.environ.get("PICTURES")

#: Of each colour that text has, on each that is behind it: the contrast, by WCAG 2.
CONTRASTS = """
const style = getComputedStyle(document.documentElement);
const probe = document.body.appendChild(document.createElement("i"));
const light = name => {
  probe.style.color = `var(--${name})`;
  const parts = getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).map(part => {
    const value = part / 255;
    return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
};
const there = names => names.filter(name => style.getPropertyValue(`--${name}`));
const found = {};
const plain = ["text", "quiet", "accent", "second", "third", "wait", "off"];
for (const text of there([...plain, "keyword", "string", "comment"]))
  for (const back of there(["page", "card", "inset"])) {
    const [low, high] = [light(text), light(back)].sort((a, b) => a - b);
    found[`${text} on ${back}`] = (high + 0.05) / (low + 0.05);
  }
probe.remove();
return found;
"""

#: Of each text of the chart: how far it stands out of the chart, or into the one before it.
OVERLAPS = """
const chart = document.getElementById("chart").getBoundingClientRect();
const rows = {};
for (const text of document.querySelectorAll("#chart text")) {
  const box = text.getBoundingClientRect();
  (rows[Math.round(box.top)] ??= []).push(box);
}
return Object.values(rows).flatMap(row => row.map((box, n) => Math.max(
  chart.left - box.left, box.right - chart.right - 2, n ? row[n - 1].right - box.left : -1)));
"""


async def picture(browser: Browser, name: str) -> None:
    if PICTURES:
        await browser.screenshot(Path(PICTURES) / f"{name}.png")


async def look(browser: Browser, width: int, *, dark: bool = False, still: bool = False) -> None:
    await browser.devtools(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=900,
        deviceScaleFactor=1,
        mobile=width < 500,
    )
    wanted = {
        "prefers-color-scheme": "dark" if dark else "light",
        "prefers-reduced-motion": "reduce" if still else "no-preference",
    }
    features = [{"name": name, "value": value} for name, value in wanted.items()]
    await browser.devtools("Emulation.setEmulatedMedia", features=features)


async def press(browser: Browser, key: str, text: str = "") -> None:
    code = {"Tab": 9, "Enter": 13}[key]
    common: dict[str, Any] = {"key": key, "code": key, "windowsVirtualKeyCode": code}
    await browser.devtools("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
    await browser.devtools("Input.dispatchKeyEvent", type="keyUp", **common)


async def test_what_is_said_while_the_server_is_away_is_kept_and_sent(tmp_path: Path) -> None:
    said = "[...document.querySelectorAll('.mine:not(.waiting)')].map(item => item.textContent)"
    say = "form.text.value = arguments[0]; form.requestSubmit()"
    env = {"BROKER": f"sqlite:///{tmp_path}/talk.db"}
    async with chromium() as ann:
        async with hypercorn("examples.chat_room:app", env=env) as server:
            await ann.open(f"{server.url}/?name=ann")
            await ann.wait_until("document.querySelector('.state.open')")
            await ann.run(say, "before")
            await ann.wait_until(f"{said}.length == 1")
        await ann.wait_until("state.textContent == 'reconnecting'")
        for text in ("first", "second"):
            await ann.run(say, text)
        await ann.wait_until("document.querySelectorAll('.waiting').length == 2")
        await ann.wait_until("kept.textContent.startsWith('Not sent yet: 2.')")
        await picture(ann, "chat_room_kept")
        async with hypercorn("examples.chat_room:app", env=env, port=server.port):
            await ann.wait_until(f"{said}.length == 3")
            assert await ann.run(f"return {said}") == ["before", "first", "second"]
            await ann.wait_until("document.querySelectorAll('.waiting').length == 0")
            await ann.wait_until("kept.textContent == ''")
            # Nor is it there twice for who sends again what had arrived.
            await ann.run("waiting.push({once: 'a', text: 'once'}, {once: 'a', text: 'once'})")
            await ann.run("send()")
            await ann.run(say, "last")
            await ann.wait_until(f"{said}.at(-1) == 'last'")
            assert (await ann.run(f"return {said}"))[3:] == ["once", "last"]


async def test_what_is_refused_is_said() -> None:
    async with hypercorn("examples.chat_room:app") as server, chromium() as ann:
        await ann.open(f"{server.url}/?name=ann&room=*")
        await ann.run("form.text.value = 'hello'; form.requestSubmit()")
        await ann.wait_until("talk.textContent.includes('“hello” was refused: ')")
        await ann.wait_until("state.textContent == 'not let in'")


async def test_the_demos_text_is_not_doubled_by_a_restart() -> None:
    typed = "document.getElementById('typed').textContent"
    async with chromium() as browser:
        async with hypercorn("examples.demo:app") as server:
            await browser.open(server.url)
            await browser.wait_until(f"{typed}.split(' ').length > 5")
        before = await browser.run(f"return {typed}")
        async with hypercorn("examples.demo:app", port=server.port):
            await browser.wait_until("document.querySelector('#automatic .state.done')")
            whole = await browser.run(f"return {typed}")
    assert whole.startswith(before)
    assert whole.count("A stream is a loop") == 1
    assert whole.endswith("nobody has to clean up.")


async def test_the_demo_shows_the_servers_side_and_leads_to_the_code() -> None:
    rows = "[...document.querySelectorAll('#open tr')].map(row => row.cells[0].textContent)"
    ended = "[...document.querySelectorAll('#ended tr')].map(row => row.innerText)"
    count = "document.getElementById('open-streams').textContent"
    async with hypercorn("examples.demo:app") as server, chromium() as browser:
        await look(browser, 1280)
        await browser.open(server.url)
        await browser.wait_until(f"{rows}.length >= 5 && {count} >= 3")
        assert {"/value", "/proxied", "/server"} <= set(await browser.run(f"return {rows}"))
        await browser.wait_until("document.querySelector('#automatic .state.done')")
        # The page leaves at the last event: by then its response has ended, or not.
        over = r"/^.automatic\s+(completed|disconnected)/"
        await browser.wait_until(f"{ended}.some(row => {over}.test(row))")
        await picture(browser, "demo")
        await browser.run("document.querySelector('#proxied button').click()")
        await browser.wait_until(f"!{rows}.includes('/proxied') && !{rows}.includes('/upstream')")
        await browser.run("document.querySelector('#value button').click()")
        await browser.wait_until(f"{ended}.some(row => /^.value\\s+disconnected/.test(row))")
        assert "trio_stream" in await browser.run("return document.querySelector('h1').textContent")
        links = await browser.run("return [...document.links].map(link => link.href)")
        assert len(links) > 3
        for link in links:
            answer = await browser.run("return fetch(arguments[0]).then(a => a.text())", link)
            assert "trio_stream" in answer


async def test_an_answer_that_is_lost_says_so_and_can_be_asked_for_again(tmp_path: Path) -> None:
    text = "document.getElementById('answer').textContent"
    env = {"BROKER": f"sqlite:///{tmp_path}/answers.db"}
    async with chromium() as browser:
        async with hypercorn("examples.resumable:app", env=env, expect_errors=True) as server:
            await browser.open(server.url)
            await browser.run("form.question.value = 'why?'; form.requestSubmit()")
            await browser.wait_until(f"{text}.length > 40")
            await server.process.kill()
        async with hypercorn("examples.resumable:app", env=env, port=server.port):
            await browser.wait_until("why.textContent.includes('has gone')", within=60)
            assert await browser.run(f"return {text}.startsWith('You asked “why?”')")
            assert not await browser.run("return again.hidden")
            await picture(browser, "resumable_lost")
            await browser.run("again.focus()")
            await press(browser, "Enter", "\r")
            await browser.wait_until(f"again.hidden && {text}.startsWith('You asked “why?”')")
            await browser.run("stop.click()")
            await browser.wait_until("why.textContent.startsWith('Stopped')")


@pytest.mark.parametrize("width", [390, 1280])
async def test_the_dashboards_labels_fit(width: int) -> None:
    async with hypercorn("examples.dashboard:app") as server, chromium() as browser:
        await look(browser, width)
        await browser.open(server.url)
        await browser.wait_until("document.querySelectorAll('#chart text').length > 7")
        await picture(browser, f"dashboard_{width}")
        assert max(await browser.run(OVERLAPS)) <= 0


@pytest.mark.parametrize("name", ["chat_room", "dashboard", "demo", "progress", "resumable"])
async def test_it_is_legible_and_fits_and_can_hold_still(name: str) -> None:
    async with hypercorn(f"examples.{name}:app") as server, chromium() as browser:
        for dark in (False, True):
            await look(browser, 390, dark=dark, still=True)
            await browser.open(server.url)
            contrasts = await browser.run(CONTRASTS)
            assert len(contrasts) >= 4
            assert {what: ratio for what, ratio in contrasts.items() if ratio < 4.5} == {}
            root = "document.documentElement"
            assert await browser.run(f"return {root}.scrollWidth <= {root}.clientWidth")
            assert await browser.run("return document.getAnimations().length") == 0


async def test_a_chat_room_needs_no_mouse() -> None:
    focused = "document.activeElement"
    async with hypercorn("examples.chat_room:app") as server, chromium() as ann:
        await ann.open(f"{server.url}/?name=ann")
        await ann.wait_until("document.querySelector('.state.open')")
        assert await ann.run(f"return {focused}.name") == "text"
        await ann.devtools("Input.insertText", text="hello")
        await press(ann, "Enter", "\r")
        await ann.wait_until("talk.innerText.includes('hello')")
        await press(ann, "Tab")
        assert await ann.run(f"return {focused}.textContent") == "Say"
        outline = f"getComputedStyle({focused}).outlineStyle"
        assert await ann.run(f"return {outline}") == "solid"
