"""What `check_broker` asks of an engine about who holds what, and who is present."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from ..broker import ResumableRun
from ..broker.contract import Entry, Lease
from ..codec import encode
from ..errors import LeaseLostError, RunFailedError, RunInProgressError
from ._expect import Check, OpenBroker, expect_raises, expect_same

__all__ = ["LEASE_CHECKS"]


async def a_lease_has_one_holder(open_broker: OpenBroker) -> None:
    async with open_broker() as broker:
        engine = broker.engine
        expect_same(await engine.claim("l", "me", 60), None, "who held a new lease")
        expect_same(await engine.claim("l", "you", 60), "me", "who holds the lease")
        expect_same(await engine.claim("l", "me", 60), "me", "who holds the lease that he prolongs")
        await engine.release("l", "you")
        expect_same(await engine.holder("l"), "me", "who holds it after another's release")
        await engine.release("l", "me")
        await engine.release("l", "me")
        expect_same(await engine.prolong("l", "me", 60), False, "who prolongs what he released")
        expect_same(await engine.claim("l", "you", 0.5), None, "who held a released lease")
        expect_same(await engine.prolong("l", "me", 60), False, "who prolongs another's lease")
        expect_same(await engine.prolong("l", "you", 1), True, "who prolongs his own")
        await trio.sleep(0.7)
        expect_same(await engine.holder("l"), "you", "who holds a lease that was prolonged")
        await trio.sleep(1)
        expect_same(await engine.holder("l"), None, "who holds a lapsed lease")
        expect_same(await engine.prolong("l", "you", 60), False, "who prolongs what has lapsed")
        expect_same(await engine.holder("l"), None, "who holds it then")


async def what_a_lease_is_needed_for_is_stored_while_it_is_held(open_broker: OpenBroker) -> None:
    async with open_broker() as broker:
        engine, stored = broker.engine, list[int]()

        async def append(text: str, owner: str) -> None:
            stored.extend(await engine.append([_entry("t", text)] * 2, Lease("l", owner)))

        await expect_raises(LeaseLostError, append, "nobody holds it", "me")
        await engine.claim("l", "me", 60)
        await append("mine", "me")
        await expect_raises(LeaseLostError, append, "not yours", "you")
        await engine.release("l", "me")
        await expect_raises(LeaseLostError, append, "released", "me")
        await engine.claim("l", "me", 0.5)
        await append("mine again", "me")
        await trio.sleep(1)
        await expect_raises(LeaseLostError, append, "lapsed", "me")
        await engine.claim("l", "you", 60)

        async def refused() -> None:
            await expect_raises(LeaseLostError, append, "given up", "me")

        # Whatever shares its way with what is refused is stored, and is told its own ids.
        ids: dict[str, str] = {}

        async def publish(text: str) -> None:
            ids[await broker.publish("t", text)] = text

        async with trio.open_nursery() as nursery:
            for n in range(30):
                nursery.start_soon(publish, str(n))
                nursery.start_soon(refused)
                nursery.start_soon(append, "yours", "you")
        last = await broker.publish("t", "last")
        found: dict[str, str] = {}
        subscription = broker.subscribe("t", after="earliest")
        while last not in found:
            event = await anext(subscription)
            found[event.id] = event.data
        del found[last]
        leased = {id: text for id, text in found.items() if id not in ids}
        expect_same(ids, {id: found.get(id) for id in ids}, "events beside those with a lease")
        expect_same([*map(int, leased)], sorted(stored), "ids of those whose lease was held")
        texts = ["mine"] * 2 + ["mine again"] * 2 + ["yours"] * 60
        expect_same(list(leased.values()), texts, "events whose lease was held")


async def who_changes_who_is_present_is_told(open_broker: OpenBroker) -> None:
    async with open_broker() as broker:
        engine = broker.engine

        async def join(owner: str, count: int, seconds: float = 60) -> tuple[int, int]:
            before, now = await engine.join("r", "x", owner, count, seconds)
            return before, now

        expect_same(await join("me", 2), (0, 2), "connections before and after the first")
        expect_same(await join("me", 2), (2, 2), "connections, said again")
        expect_same(await join("dead", 1, 0.5), (2, 3), "connections of two owners")
        expect_same(await join("me", 0), (3, 1), "connections when one owner has none")
        await trio.sleep(1)
        expect_same(await engine.members("r"), [], "who is present after it lapsed")
        expect_same([*await engine.lapsed()], [("r", "x")], "who lapsed")
        expect_same([*await engine.lapsed()], [], "who lapsed, told again")
        expect_same(await join("dead", 1, 0.5), (0, 1), "connections of one who had lapsed")
        await trio.sleep(1)
        expect_same(await join("me", 1), (1, 2), "connections of one of whom nobody was told")
        expect_same([*await engine.lapsed()], [], "who lapsed, while another has the name")
        expect_same(await join("me", 0), (1, 0), "connections when the last has gone")


async def a_run_is_known_and_started_once(open_broker: OpenBroker) -> None:
    runs = 0

    async def producer(run: ResumableRun) -> None:
        nonlocal runs
        runs += 1
        await run.send(runs)
        await trio.sleep_forever()

    async def state() -> tuple[str, str | None, list[str]] | None:
        run = await broker.run("k")
        if run is None:
            return None
        return run.state, run.reason, [member.name for member in run.watchers]

    async with open_broker() as broker:
        expect_same(await state(), None, "what is known of a run that never was")
        async with broker.resumable("k", producer, presence="ann") as watch:
            expect_same((await anext(watch)).data, "1", "what it sent")
            expect_same(await state(), ("running", None, ["ann"]), "what is known of it")
            refused = broker.resumable("k", producer, if_running="refuse")
            await expect_raises(RunInProgressError, anext, refused)
            async with broker.resumable("k", producer, if_running="replace") as other:
                expect_same((await anext(other)).data, "2", "what another one sent")
                await expect_raises(RunFailedError, anext, watch)
                await broker.stop_resumable("k")
                await expect_raises(RunFailedError, anext, other)
        found = await broker.run("k")
        expect_same(found and (found.state, found.reason), ("failed", "stopped"), "how it ended")


LEASE_CHECKS: Sequence[Check] = (
    a_run_is_known_and_started_once,
    a_lease_has_one_holder,
    what_a_lease_is_needed_for_is_stored_while_it_is_held,
    who_changes_who_is_present_is_told,
)


def _entry(topic: str, text: str) -> Entry:
    return Entry(topic, encode(text).data)
