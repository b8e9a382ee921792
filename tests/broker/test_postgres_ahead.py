"""``postgresql://``: what is read ahead of who catches up, and until when it is there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from struct import pack

import pytest
import trio
import trio.testing

from trio_stream.broker.contract import Page, joined, wire_form
from trio_stream.broker.contract.topics import Selection
from trio_stream.broker.postgres.ahead import ReadAhead
from trio_stream.broker.postgres.found import Found
from trio_stream.broker.postgres.history import PAGE_BYTES
from trio_stream.errors import BrokerUnavailableError

Clock = trio.testing.MockClock

EVENTS, END, LIMIT = 20_000, 20_001, 1024
SELECTION = Selection(["t"])

#: An array of PostgreSQL's that holds the number 1.
_ONE = pack("!iiIiiii", 1, 0, 23, 1, 1, 4, 1)


class History:
    """A topic with events 1 to `EVENTS`, of 64 bytes each at most, which takes its time."""

    def __init__(self) -> None:
        #: Behind what it was read, and how many bytes.
        self.asked: list[tuple[int, int]] = []
        self.seconds = 0.01
        self.gone: dict[str, int] = {}
        self.fails = self.is_busy = False
        self.text = b"x" * 40

    async def read(self, _: Selection, after: int, limit: int, size: int) -> Page:
        self.asked.append((after, size))
        text = self.text
        await trio.sleep(self.seconds)
        if self.fails:
            raise BrokerUnavailableError("away")
        upto = min(EVENTS, after + limit, after + size // 64)
        each = [wire_form(id, b"data: %b\n\n" % text) for id in range(after + 1, upto + 1)]
        if not each:
            return Page((), END)
        sizes = b"".join(pack("!i", len(event)) for event in each)
        columns = b"".join(each), sizes, _ONE, None, None, None
        records, _more = Found(["t"], [after], columns).after_floors(limit)
        return Page(records, upto if upto < EVENTS else END, self.gone)

    async def read_page(self, selection: Selection, after: int, limit: int) -> Page:
        return await self.read(selection, after, limit, PAGE_BYTES)


@pytest.fixture
def history() -> History:
    return History()


@pytest.fixture
async def ahead(history: History, nursery: trio.Nursery) -> AsyncIterator[ReadAhead]:
    made = ReadAhead(history.read, history.read_page, lambda: not history.is_busy)
    await nursery.start(made.run)
    yield made
    nursery.cancel_scope.cancel()


async def take(ahead: ReadAhead, seconds: float = 0.0, selection: Selection = SELECTION) -> int:
    """Read all, with so long for each page; returns how many pages there were."""
    after = pages = 0
    while (page := await ahead.read(selection, after, LIMIT)).records:
        last = min(page.upto, EVENTS)
        data = joined(page.records).data
        assert len(data) <= PAGE_BYTES
        assert data.startswith(b"id: %d\n" % (after + 1))
        assert data.count(b"id: ") == len(page.records) == last - after
        assert joined(page.records).id == str(last)
        after = page.upto
        pages += 1
        await trio.sleep(seconds)
    assert after == END
    return pages


async def test_the_first_page_comes_alone_and_then_four_at_once(
    autojump_clock: Clock, ahead: ReadAhead, history: History
) -> None:
    assert await take(ahead) == 20
    sizes = [size for _, size in history.asked]
    assert sizes == [PAGE_BYTES, *[4 * PAGE_BYTES] * 5, PAGE_BYTES]


async def test_who_takes_his_time_does_not_wait(autojump_clock: Clock, ahead: ReadAhead) -> None:
    begun = trio.current_time()
    pages = await take(ahead, 0.01)
    # But for the first page, the first four, and to see that this was all.
    assert trio.current_time() - begun == pytest.approx(pages * 0.01 + 3 * 0.01)


async def test_while_somebody_else_wants_something_nothing_is_read_ahead(
    autojump_clock: Clock, ahead: ReadAhead, history: History
) -> None:
    history.is_busy = True
    page = await ahead.read(SELECTION, 0, LIMIT)
    page = await ahead.read(SELECTION, page.upto, LIMIT)
    await trio.sleep(0.5)
    assert len(history.asked) == 2
    history.is_busy = False
    await ahead.read(SELECTION, page.upto, LIMIT)
    await trio.sleep(0.5)
    assert len(history.asked) == 3


async def test_all_who_are_at_one_place_share_it(
    autojump_clock: Clock, ahead: ReadAhead, history: History
) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(take, ahead)
    assert len([size for _, size in history.asked if size > PAGE_BYTES]) == 5


async def test_many_at_places_of_their_own_have_no_more_memory(
    autojump_clock: Clock, ahead: ReadAhead, history: History
) -> None:
    most = 0

    async def measure() -> None:
        nonlocal most
        while True:
            most = max(most, ahead.bytes)
            await trio.sleep(0.003)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(measure)
        async with trio.open_nursery() as readers:
            for n in range(40):
                readers.start_soon(take, ahead, 0.01, Selection([f"t{n}"]))
        nursery.cancel_scope.cancel()
    assert 2**20 < most <= 2**21
    await trio.sleep(12)
    assert ahead.bytes == 0


@pytest.mark.parametrize("seconds", [0.001, 0.05], ids=["while it is read", "once it is there"])
async def test_what_may_have_been_deleted_is_read_again(
    autojump_clock: Clock, ahead: ReadAhead, history: History, seconds: float
) -> None:
    after = 0
    for _ in range(2):
        after = (await ahead.read(SELECTION, after, LIMIT)).upto
    for _ in range(3):
        after = (await ahead.read(SELECTION, after, LIMIT)).upto
    await trio.sleep(seconds)  # the next four are being read, or there
    asked = len(history.asked)
    history.text = b"y" * 40
    ahead.drop()
    assert ahead.bytes == 0
    page = await ahead.read(SELECTION, after, LIMIT)
    assert b"data: y" in page.records[0].data
    assert len(history.asked) == asked + 1


async def test_what_was_read_a_second_ago_is_read_again(
    autojump_clock: Clock, ahead: ReadAhead, history: History
) -> None:
    after = 0
    for _ in range(3):
        after = (await ahead.read(SELECTION, after, LIMIT)).upto
    history.text = b"y" * 40
    await trio.sleep(0.9)
    page = await ahead.read(SELECTION, after, LIMIT)
    assert b"data: x" in page.records[0].data
    await trio.sleep(0.2)
    page = await ahead.read(SELECTION, page.upto, LIMIT)
    assert b"data: y" in page.records[0].data


async def test_where_something_is_gone_each_page_says_so(
    autojump_clock: Clock, ahead: ReadAhead, history: History
) -> None:
    history.gone = {"t": EVENTS}
    after = 0
    for _ in range(5):
        page = await ahead.read(SELECTION, after, LIMIT)
        assert page.gone == history.gone
        after = page.upto
    assert {size for _, size in history.asked} == {PAGE_BYTES}


async def test_a_page_for_few_is_what_is_there_now(
    autojump_clock: Clock, ahead: ReadAhead, history: History
) -> None:
    after = 0
    for _ in range(5):
        after = (await ahead.read(SELECTION, after, 1000)).upto
    assert {size for _, size in history.asked} == {PAGE_BYTES}


async def test_what_cannot_be_read_ahead_fails_for_who_wants_it(
    autojump_clock: Clock, ahead: ReadAhead, history: History
) -> None:
    page = await ahead.read(SELECTION, 0, LIMIT)
    history.seconds = 0.1
    page = await ahead.read(SELECTION, page.upto, LIMIT)
    history.fails = True
    await trio.sleep(0.2)
    for _ in range(3):
        page = await ahead.read(SELECTION, page.upto, LIMIT)
    for _ in range(2):
        with pytest.raises(BrokerUnavailableError):
            await ahead.read(SELECTION, page.upto, LIMIT)
    history.fails = False
    assert (await ahead.read(SELECTION, page.upto, LIMIT)).records[0].id == page.upto + 1


async def test_who_is_cancelled_while_others_wait_leaves_it_to_them(
    autojump_clock: Clock, ahead: ReadAhead, history: History
) -> None:
    end = (await ahead.read(SELECTION, 0, LIMIT)).upto
    found: list[int] = []

    async def read() -> None:
        found.append((await ahead.read(SELECTION, end, LIMIT)).records[0].id)

    async with trio.open_nursery() as nursery:
        with trio.move_on_after(0.005):
            nursery.start_soon(read)
            await ahead.read(SELECTION, end, LIMIT)
    assert found == [end + 1]
