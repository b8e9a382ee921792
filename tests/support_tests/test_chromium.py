import contextlib
from pathlib import Path

import pytest
import trio

from tests.support.certificates import Certificate
from tests.support.chromium import JavascriptError, chromium
from tests.support.hypercorn_process import hypercorn

PAGE = "tests.support_tests.apps:page"


async def test_drives_a_page(tmp_path: Path) -> None:
    async with hypercorn(PAGE) as server, chromium() as browser:
        await browser.open(server.url)
        assert await browser.run("return document.title") == "a page"
        await browser.wait_until("text.textContent == 'ready'")
        assert await browser.text() == "ready"
        assert any("seen" in line for line in await browser.console())

        await browser.screenshot(tmp_path / "page.png")
        assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")

        await browser.run("text.textContent = arguments[0]", "changed")
        assert await browser.text() == "changed"
        await browser.reload()
        await browser.wait_until("text.textContent == 'ready'")


async def test_run_awaits_promises_and_raises_what_the_script_raises() -> None:
    async with chromium() as browser:
        assert (
            await browser.run("return new Promise(done => setTimeout(done, 50, 'hello'))")
            == "hello"
        )
        with pytest.raises(JavascriptError, match="no such luck"):
            await browser.run("throw new Error('no such luck')")


async def test_what_never_becomes_true_fails_with_what_the_page_shows() -> None:
    async with chromium() as browser:
        await browser.open("data:text/html,<p>waiting")
        with pytest.raises(AssertionError, match=r"document\.title\nwaiting"):
            await browser.wait_until("document.title", within=0.2)


async def test_accepts_the_tests_own_certificates(certificate: Certificate) -> None:
    async with hypercorn(PAGE, certificate=certificate) as server, chromium() as browser:
        await browser.open(server.url)
        navigation = "return performance.getEntriesByType('navigation')[0].nextHopProtocol"
        assert await browser.run(navigation) == "h2"


async def test_reaches_no_other_host() -> None:
    async with chromium() as browser:
        with pytest.raises(JavascriptError, match="ERR_NAME_NOT_RESOLVED"):
            await browser.open("http://example.com/")


async def test_ends_with_its_processes_and_profile() -> None:
    async with chromium() as browser:
        profile = browser.profile
        assert profile.exists()
        assert len(processes_of(profile)) > 2
    assert not profile.exists()
    await none_left(profile)


async def test_ends_when_the_test_fails() -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        async with chromium() as browser:
            profile = browser.profile
            raise ZeroDivisionError
    assert not profile.exists()
    await none_left(profile)


async def none_left(profile: Path) -> None:
    """Its crash handler is no child of the browser's, and ends when it finds it gone."""
    with trio.fail_after(30):
        while processes_of(profile):
            await trio.sleep(0.02)


def processes_of(profile: Path) -> list[str]:
    """The running processes that were started with this profile: the browser and its helpers."""
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(profile.parent) in (line := command.read_text()):
                found.append(line)
    return found
