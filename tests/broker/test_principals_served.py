"""Principals where they are used: over sockets, and in two processes that share a Redis."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import trio

from tests.support.hypercorn_process import Server, hypercorn
from tests.support.raw import EVENT_SOURCE
from tests.support.redis_server import redis_server
from trio_stream import EventSource

APP = "tests.broker.principals_served:app"


async def follow(client: httpx.AsyncClient, name: str, begun: trio.Event, got: list[str]) -> None:
    """Read one stream to its end."""
    async with client.stream("GET", "/", params={"name": name}, headers=EVENT_SOURCE) as answer:
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            got.append(line)
            if line.startswith("data: "):
                begun.set()
    got.append("the end")


async def serve(stack: AsyncExitStack, url: str, folder: Path) -> Server:
    env = {"BROKER": url, "LOGGED_OUT": str(folder / "logged_out")}
    return await stack.enter_async_context(hypercorn(APP, env=env))


async def see_who_is_there(clients: Sequence[httpx.AsyncClient]) -> None:
    """A page in one process begins with the list, and sees what is said in the other."""
    opened = EventSource("/room?name=cem", client=clients[0])
    async with opened as events:
        first = await anext(events)
        assert (first.event, first.json()) == ("members", [member("cem", "the door")])
        other = EventSource("/room?name=dan", client=clients[1])
        async with other as others:
            both = [member("cem", "the door"), member("dan", "the door")]
            assert (await anext(others)).json() == both
            joined = await anext(events)
            assert (joined.event, joined.json()["name"]) == ("join", "dan")
            await clients[1].post("/room", params={"name": "cem", "at": "the window"})
            for each in (events, others):
                event = await anext(each)
                while event.event != "update":  # what follows the list may be in it already
                    event = await anext(each)
                assert event.json() == {"name": "cem", "data": {"at": "the window"}}


def member(name: str, place: str) -> dict[str, object]:
    return {"name": name, "connections": 1, "data": {"at": place}}


async def test_who_is_disconnected_in_one_process_is_gone_in_the_other(tmp_path: Path) -> None:
    (tmp_path / "logged_out").write_text("")
    async with redis_server() as redis, AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context((await serve(stack, redis.url, tmp_path)).client())
            for _ in range(2)
        ]
        got: dict[tuple[int, str], list[str]] = {}
        with trio.fail_after(30):
            async with trio.open_nursery() as bob:
                async with trio.open_nursery() as ann:  # left when both of hers have ended
                    for number, client in enumerate(clients):
                        for nursery, name in ((ann, "ann"), (bob, "bob")):
                            begun = trio.Event()
                            lines = got[number, name] = []
                            nursery.start_soon(follow, client, name, begun, lines)
                            await begun.wait()
                    asked = {"name": "ann", "refuse_for": 60, "runs": 1}
                    assert (await clients[1].post("/", params=asked)).status_code == 204
                assert [got[number, "bob"][-1] == "the end" for number in range(2)] == [False] * 2
                await see_who_is_there(clients)
                for client in clients:
                    answer = await client.get("/", params={"name": "ann"})
                    assert answer.status_code == 403
                bob.cancel_scope.cancel()


async def test_who_is_logged_out_is_cut_off_when_it_is_asked_again(tmp_path: Path) -> None:
    (tmp_path / "logged_out").write_text("")
    async with AsyncExitStack() as stack:
        server = await serve(stack, "memory://", tmp_path)
        client = await stack.enter_async_context(server.client())
        begun, got = trio.Event(), list[str]()
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(follow, client, "ann", begun, got)
                await begun.wait()
                (tmp_path / "logged_out").write_text("ann")
            assert got[-1] == "the end"
            answer = await client.get("/", params={"name": "ann"})
            assert answer.status_code == 401
