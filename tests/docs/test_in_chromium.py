"""The pages that docs/ shows, in Chromium, with the programs that serve them."""

from pathlib import Path

from tests.docs.snippets import write_programs
from tests.support.chromium import chromium
from tests.support.hypercorn_process import hypercorn

SAY = """
    document.querySelector("[name=text]").value = arguments[0];
    document.querySelector("button").click();
"""


async def test_the_board_misses_nothing_over_a_restart(tmp_path: Path) -> None:
    write_programs(tmp_path)
    env = {"PYTHONPATH": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    items = "[...document.querySelectorAll('li')].map(li => li.textContent).join()"
    status = "document.querySelector('[role=status]').textContent"
    async with chromium() as browser:
        async with hypercorn("board:app", env=env) as server:
            await browser.open(server.url)
            await browser.wait_until(f"{status} == 'listening'")
            await browser.run(SAY, "one")
            await browser.wait_until(f"{items} == 'one'")
        assert "a page's stream ended: shutdown" in server.process.log()
        await browser.wait_until(f"{status} == 'away, coming back'")
        async with hypercorn("board:app", env=env, port=server.port) as server:
            async with server.client() as other:
                await other.post("/say", content="two")
            await browser.wait_until(f"{items} == 'one,two'", within=60)
            await browser.run(SAY, "three")
            await browser.wait_until(f"{items} == 'one,two,three'")
            await browser.reload()  # which leaves the page for good, and opens it anew
            await server.process.wait_for_log("a page's stream ended: disconnected")
