"""The doctor's verdicts: one server that is in order, and for each complaint one that is not."""

from __future__ import annotations

import json
import time

import pytest
import trio
import trio.testing

from tests.client.scripted import Script, ScriptedServer, over_memory
from tests.doctor.servers import (
    CASES,
    Case,
    dated,
    empty_gzip,
    healthy,
    once,
    slow_line,
    streaming,
    ticking,
)
from trio_stream.doctor.complaints import COMPLAINTS, Finding
from trio_stream.doctor.examine import Options, examine
from trio_stream.doctor.observation import Examination
from trio_stream.doctor.report import as_json
from trio_stream.doctor.verdicts import judge

#: What is so over HTTP/1.1 alone, which these servers speak.
ALWAYS = "six-connections"


@pytest.fixture(autouse=True)
def clock_on_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes as Trio's does, which jumps."""
    really = time.time

    def now() -> float:
        try:
            return 1_790_000_000 + trio.current_time()
        except RuntimeError:
            return really()

    monkeypatch.setattr(time, "time", now)


async def look(script: Script, **options: object) -> tuple[Examination, list[Finding]]:
    given = Options(**({"url": "http://host/"} | options))  # type: ignore[arg-type]
    async with over_memory(ScriptedServer(script)) as client:
        seen = await examine(given, client)
    return seen, judge(seen)


def complaints(findings: list[Finding]) -> set[str]:
    return {finding.complaint.code for finding in findings if finding.complaint} - {ALWAYS}


async def test_of_a_server_in_order_nothing_is_wrong(
    autojump_clock: trio.testing.MockClock,
) -> None:
    _, findings = await look(healthy)
    assert [(finding.subject, finding.level) for finding in findings] == [
        ("answer", "fine"),
        ("content type", "fine"),
        ("charset", "fine"),
        ("version", "advice"),
        ("first byte", "fine"),
        ("buffering", "fine"),
        ("proxies", "fine"),
        ("events", "fine"),
        ("lines", "fine"),
        ("pings", "fine"),
        ("retry", "fine"),
        ("ids", "fine"),
        ("resuming", "fine"),
        ("end", "fine"),
    ]
    assert trio.current_time() < 30


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}: {case.seen}")
async def test_what_is_wrong_is_told(case: Case, autojump_clock: trio.testing.MockClock) -> None:
    _, findings = await look(case.script, **case.options)
    told = {f.complaint.code: f for f in findings if f.complaint}
    assert told.keys() - {ALWAYS} == {case.code, *case.also}
    assert case.seen in told[case.code].seen
    assert told[case.code].level == COMPLAINTS[case.code].level


async def test_what_is_the_same_beside_is_not_later(
    autojump_clock: trio.testing.MockClock,
) -> None:
    _, findings = await look(ticking, beside="http://beside/")
    assert complaints(findings) == set()
    [beside] = [finding for finding in findings if finding.subject == "beside"]
    assert beside.level == "fine"
    assert "19 of the same events, 0 ms later than at http://beside/" in beside.seen


async def test_what_answers_a_post_may_end_and_needs_no_ids(
    autojump_clock: trio.testing.MockClock,
) -> None:
    _, findings = await look(once, method="POST", content="{}")
    assert complaints(findings) == set()


async def test_a_large_event_takes_its_time_on_a_slow_line(
    autojump_clock: trio.testing.MockClock,
) -> None:
    _, findings = await look(slow_line)
    assert complaints(findings) == set()


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_of_what_is_compressed_and_empty_nothing_is_said(
    method: str, autojump_clock: trio.testing.MockClock
) -> None:
    _, findings = await look(empty_gzip, method=method)
    [compression] = [finding for finding in findings if finding.subject == "compression"]
    assert compression.level == "unknown"
    assert "10 bytes for 0: nothing came to tell it by" in compression.seen


async def test_the_age_of_each_event_is_told_where_it_holds_its_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    seen, findings = await look(streaming(events=dated(2), distance=2))
    ages = json.loads(as_json(seen, findings))["main"]["ages"]["at"]
    assert len(ages) == len(seen.main.reading.events)
    for older, newer in zip(ages[::2], ages[1::2], strict=True):
        assert older - newer == pytest.approx(1, abs=0.001)


def test_each_complaint_has_a_server_of_which_it_is_true() -> None:
    assert {case.code for case in CASES} | {ALWAYS} == COMPLAINTS.keys()
