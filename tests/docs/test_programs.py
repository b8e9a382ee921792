"""Every whole program in README and docs/ does what its page says."""

import importlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio.testing

from tests.docs.snippets import PROGRAMS, SNIPPETS, Snippet, write_programs
from tests.support.need import need
from trio_stream import serve
from trio_stream.testing import connect, lifespan

#: Applications: what is asked for, and what the first event says.
APPS: dict[str, tuple[str, Any]] = {
    "board.py": ("/events", None),
    "clock.py": ("/", {"now"}),
    "count.py": ("/", {"n": 1}),
    "fastapi_app.py": ("/ticks", {"n": 1}),
    "hello.py": ("/", "hello"),
    "litestar_app.py": ("/ticks", {"n": 1}),
    "orders.py": ("/", {}),
    "prices.py": ("/AAPL", {"symbol": "AAPL", "bid": 100}),
    "quart_app.py": ("/ticks", {"n": 1}),
    "quotes.py": ("/AAPL", {"symbol": "AAPL", "bid": 100}),
    "room.py": (
        "/events?name=ann",
        [{"name": "ann", "connections": 1, "data": {"at": "the door"}}],
    ),
    "rows.py": ("/", None),
    "seen.py": ("/events", {"n": 1}),
    "shop.py": ("/prices", None),
    "starlette_app.py": ("/clock", {"now"}),
    "topics_litestar.py": ("/prices", None),
    "topics_quart.py": ("/prices", None),
}

#: Programs and pages that another test runs: below, in `test_production.py`, in `test_readme.py`.
OTHERS = {"accounts.py", "listen.py", "service.py", "counter.py", "counter.html"}
OTHERS |= {"orders_view.py"}

#: Programs and pages that are run together, by tests of their own in `test_in_chromium.py`.
IN_CHROMIUM = {"board.html", "login.py", "login.html", "login_by_token.html"}


def is_test(name: str) -> bool:
    return name.startswith("test_")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    write_programs(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if (tmp_path / f"{name}.py").exists():
            del sys.modules[name]


def load(folder: Path, name: str) -> ModuleType:
    module = importlib.import_module(name.removesuffix(".py"))
    assert module.__file__ == str(folder / name)
    return module


def test_each_is_run_by_some_test() -> None:
    known = {*APPS, *OTHERS, *IN_CHROMIUM}
    assert {name for name in PROGRAMS if not is_test(name)} <= known
    assert any(map(is_test, PROGRAMS))


def test_no_two_have_one_name() -> None:
    names = Counter(snippet.name for snippet in SNIPPETS if snippet.name)
    assert [name for name, times in names.items() if times > 1] == []


@pytest.mark.parametrize("name", [name for name in APPS if name in PROGRAMS])
async def test_an_application_streams(
    name: str, folder: Path, autojump_clock: trio.testing.MockClock
) -> None:
    app = load(folder, name).app
    path, first = APPS[name]
    async with lifespan(app) as state, connect(app, path, scope={"state": state}) as client:
        assert client.status == 200
        kinds = ("text/event-stream", "application/x-ndjson")
        assert client.headers["content-type"].startswith(kinds)
        if first is not None:
            event = await client.receive_event()
            got = event.data if isinstance(first, str) else event.json()
            assert (set(got) if isinstance(first, set) else got) == first


async def test_whose_a_stream_is(folder: Path) -> None:
    program = load(folder, "accounts.py")
    cookie = {"cookie": "session=token-of-ann"}
    async with lifespan(program.app) as state:
        given: dict[str, Any] = {"scope": {"state": state}}
        async with connect(program.app, **given) as client:
            assert client.status == 401
        async with connect(program.app, headers=cookie, **given) as client:
            await state["broker"].publish("users/17", "for her")
            assert (await client.receive_event()).data == "for her"
            await program.log_out(state["broker"], "token-of-ann")
            await client.read()
            assert client.ended is not None
        async with connect(program.app, headers=cookie, **given) as client:
            assert client.status == 401
        program.sessions["token-of-ann"] = 17
        await program.lock(state["broker"], 17)
        assert program.sessions == {}


async def test_a_state_and_then_its_changes(folder: Path) -> None:
    program = load(folder, "orders.py")
    async with lifespan(program.app) as state:
        scope = {"state": state}
        await program.change(state["broker"], "1", "paid")
        async with connect(program.app, scope=scope) as client:
            event = await client.receive_event()
            assert (event.event, event.json()) == ("state", {"1": "paid"})
            await program.change(state["broker"], "2", "paid")
            event = await client.receive_event()
            assert (event.event, event.json()) == ("changed", {"2": "paid"})
        await program.change(state["broker"], "1", "sent")
        async with connect(program.app, last_event_id=event.id, scope=scope) as client:
            event = await client.receive_event()
            assert (event.event, event.json()) == ("changed", {"1": "sent"})
        async with connect(program.app, last_event_id="of another log", scope=scope) as client:
            event = await client.receive_event()
            assert (event.event, event.json()) == ("state", {"1": "sent", "2": "paid"})


async def test_a_view_of_ones_own(folder: Path) -> None:
    program = load(folder, "orders_view.py")
    async with lifespan(program.app) as state, connect(program.app, scope={"state": state}) as c:
        await trio.testing.wait_all_tasks_blocked()
        for number, region in ((1, "south"), (2, "north")):
            order = {"id": number, "region": region, "price": 10}
            await state["broker"].publish(f"orders/{number}", order, event="paid")
        event = await c.receive_event()
        assert (event.event, event.json()) == ("paid", {"id": 2})


@pytest.mark.parametrize(
    "snippet", [each for each in SNIPPETS if each.language == "js"], ids=lambda each: each.id
)
def test_javascript_is_javascript(snippet: Snippet, tmp_path: Path) -> None:
    """Parts of pages, which `test_in_chromium.py` has whole, and settings of dev servers."""
    [node] = need("node")
    program = tmp_path / "snippet.mjs"
    program.write_text(snippet.code)
    subprocess.run([node, "--check", program], check=True)


def test_the_tests_pass(folder: Path) -> None:
    """The tests that pages show, together, as a reader would run them."""
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "trio_mode=true"]
        + [name for name in PROGRAMS if is_test(name)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


async def test_the_client_listens(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """`listen.py` runs until its server says that there is no more; here, until it has printed."""
    app = load(folder, "prices.py").app
    async with trio.open_nursery() as nursery:
        [url] = await nursery.start(
            lambda task_status: serve(
                app,
                bind="127.0.0.1:0",
                shutdown_trigger=trio.sleep_forever,
                task_status=task_status,
            )
        )
        program = folder / "listen.py"
        text = program.read_text()
        assert "http://127.0.0.1:8000" in text
        program.write_text(text.replace("http://127.0.0.1:8000", url))
        process = await trio.lowlevel.open_process(
            [sys.executable, "-u", str(program)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        said = b""
        try:
            with trio.fail_after(60):
                while b"\n" not in said:
                    said += await process.stdout.receive_some()
        finally:
            process.kill()
        assert said.split()[:2] == [b"price", b"100"]
        await process.wait()
        nursery.cancel_scope.cancel()
