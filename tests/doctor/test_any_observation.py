"""Whatever is seen, there is a verdict on it, and it can be told."""

from __future__ import annotations

import io
import json

from hypothesis import given
from hypothesis import strategies as st

from trio_stream.client.terminal.paper import Plain
from trio_stream.codec import EventStreamDecoder
from trio_stream.doctor.complaints import COMPLAINTS
from trio_stream.doctor.observation import Examination, Observation
from trio_stream.doctor.reading import Arrival, read
from trio_stream.doctor.report import as_json, write
from trio_stream.doctor.verdicts import judge

LINES = [
    *(b"data: 1", b"data", b'data: {"at": 1790000000.5}', b'data: {"at": "2026-11-30T10:00:00"}'),
    *(b"id: 1", b"id: 2", b"id: \x01", b"id: 1790000000000-0", b"id", b"id: a\0"),
    *(b"event: ping", b"retry: 3000", b"retry: x", b"retry: 1", b": ping", b"{}", b"<html>"),
    *(b"Data: 1", b"\xe9", b"\xef\xbb\xbf", b"", b"", b""),
]
BODIES = st.lists(
    st.tuples(st.sampled_from(LINES), st.sampled_from([b"\n", b"\n", b"\r\n", b"\r", b""])).map(
        b"".join
    )
).map(b"".join)

HEADERS = st.dictionaries(
    st.sampled_from(
        [
            *("content-type", "cache-control", "x-accel-buffering", "content-encoding", "age"),
            *("via", "server", "x-cache", "content-length", "transfer-encoding", "retry-after"),
        ]
    ),
    st.sampled_from(
        [
            *("", "text/event-stream", "text/event-stream; charset=x", "no", "gzip", "identity"),
            *("7", "1.1 varnish", "nginx", "HIT", "chunked", "no-store, no-transform", ",;= \xe9"),
        ]
    ),
)


@st.composite
def cut(draw: st.DrawFn, bodies: st.SearchStrategy[bytes] = BODIES) -> list[Arrival]:
    """A body as it may arrive."""
    rest, at, arrivals = draw(bodies), 0.0, []
    while rest:
        size = draw(st.integers(1, len(rest)))
        at += draw(st.sampled_from([0.001, 0.2, 1, 17, 31]))
        arrivals.append(Arrival(at, size, rest[:size]))
        rest = rest[size:]
    return arrivals


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    arrivals = draw(cut())
    answered = draw(st.sampled_from([None, 0.0, 0.01, 3.0]))
    return Observation(
        url="http://host/",
        started=0.0,
        began=1790000000.0,
        failure=draw(st.sampled_from(["", "", "it is gone"])) if answered is None else "",
        redirects=tuple(draw(st.lists(st.just("http://there/"), max_size=2))),
        answered=answered,
        status=0 if answered is None else draw(st.sampled_from([200, 200, 200, 204, 404])),
        http_version="" if answered is None else draw(st.sampled_from(["HTTP/1.0", "HTTP/2"])),
        headers=tuple(draw(HEADERS).items()),
        arrivals=() if answered is None else tuple(arrivals),
        end=draw(st.sampled_from(["open", "proper", "broken", "undecodable"])),
        reason="for a reason",
        ended=max(20.0, *(arrival.at for arrival in arrivals), 0.0),
    )


@given(
    *(observations(), st.booleans(), st.booleans()),
    *(st.one_of(st.none(), observations()) for _ in range(4)),
)
def test_there_is_a_verdict_and_it_can_be_told(
    main: Observation,
    is_local: bool,
    repeatable: bool,
    plain: Observation | None,
    again: Observation | None,
    beside: Observation | None,
    resumed: Observation | None,
) -> None:
    ids = [timed.event.id for timed in main.reading.events if timed.event.id]
    seen = Examination(
        main=main,
        is_local=is_local,
        plain=plain,
        again=again,
        beside=beside,
        resumed=resumed if ids and plain is None else None,
        resumed_after=ids[-1] if ids else "",
        repeatable=repeatable,
    )
    findings = judge(seen)
    assert findings[0].subject == "answer"
    for finding in findings:
        complaint = finding.complaint
        assert finding.seen
        assert (complaint is None) == (finding.level in ("fine", "unknown"))
        assert complaint is None or COMPLAINTS[complaint.code] is complaint
    text = io.StringIO()
    write(findings, Plain(text))
    assert text.getvalue().count("→") == sum(bool(finding.complaint) for finding in findings)
    report = json.loads(as_json(seen, findings))
    assert report["wrong"] == sum(finding.level == "wrong" for finding in findings)


@given(cut())
def test_events_are_those_of_a_browser_however_they_arrive(arrivals: list[Arrival]) -> None:
    reading = read(arrivals)
    decoder = EventStreamDecoder()
    events = decoder.feed(b"".join(arrival.data for arrival in arrivals))
    assert [timed.event for timed in reading.events] == events
    dropped = decoder.dropped
    assert len(reading.stray) == dropped.stray_lines
    assert len(reading.unknown) == dropped.unknown_fields
    assert reading.unfinished == dropped.unfinished
