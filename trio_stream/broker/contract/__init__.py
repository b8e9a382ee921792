"""What a broker asks of its engine, and the values that pass between them.

A **broker** (`trio_stream.Broker`) is what an application uses. It encodes events, knows the
subscribers of its own process, hands them what is new and lets them catch up. An **engine** numbers
events and keeps them. There are four, `memory`, `sqlite`, `postgres` and `redis`; another is
anything that keeps this contract, and `trio_stream.testing.check_broker` tells whether it does:
``open_broker(MyEngine(...))``.

The contract of an engine, in prose:

*Ids.* `Engine.append` gives every event a number that is larger than every number given before it,
by any process, over the whole life of the stored log, and never gives one twice: not after a crash,
and not after events were lost. Numbers need not be dense. A new log starts at the current time in
microseconds, so that ids of a log that was deleted are older than its own, and not mistaken for
them.

*What append means.* When `append` returns, the events are stored as safely as the engine promises
to store anything, in the order of the entries, and all of them or none. When it raises a
`trio_stream.BrokerError` the events may or may not be stored; the error's documentation says which.
When it is cancelled, likewise, unless nothing had been sent yet.

*Feeding.* From its ``task_status.started(head)`` on, the engine calls `Feed.records` with every
event that is appended after ``head``, by this process or another, in the order of their ids and
each exactly once, from any task of the Trio run but never from another thread. An event that is
appended may be fed before `append` returns, or after. When an engine cannot tell whether it has
missed some, because it was cut off for too long, it calls `Feed.interrupted` with the id from which
on it feeds again: nobody is told nothing, each subscriber reads what it missed.

*Reading.* `read` returns what is kept of some topics after a cursor, oldest first, a page at a
time. `Page.gone` names the topics of which an event after the cursor may be missing from the page
or from a later one: it was trimmed, it was lost, or the cursor is not an id that this log has
given. A reader that is told so goes on from the page, and hears of it again when more has gone.
False alarms are allowed where nothing better is known, silence never is.

*Safety.* Everything but `run` may be called from any number of tasks at once. Nothing may be called
before `run` has started, or after it has ended: the broker sees to that. `run` runs until it is
cancelled and cleans up after itself; what it raises ends the broker.

*Leases.* An append may carry a `Lease`. It is stored only if, at that very place in the log, its
owner holds that lease: when it has lapsed or is another's, `append` raises
`trio_stream.LeaseLostError`, and nothing of it is stored, however long it has been on its way. So
who claims a lease that lapsed can be sure that nothing of its last owner's follows.

*Once.* In an append that has an entry which names a `Once` all do, each another key. Of those with
the same key, the first of a topic is stored, and each that follows within its seconds is not: it is
answered with the first one's id. That is decided where events are put in order: of two at the same
time, in whatever processes, one is stored.

*Passing on.* What `FullEngine.pass_on` is given is stored nowhere and has no id. It goes to
`Feed.passing` of every process that is there, behind what its publisher has appended before. An
engine that was cut off meanwhile may leave it out, and tells nobody.

*Presence.* What `join` and `describe` say holds for all processes at once, in one order. What
belongs to a name is gone with the last of its connections.

*Idempotence.* `release` and `leave` may be called for what is not held. A publish that the engine
retries by itself, after a lost connection, is stored once.
"""

from __future__ import annotations

from .engine import (
    LEASE,
    NO_VALUE,
    Engine,
    Feed,
    FullEngine,
    Member,
    full_engine,
    lease_of,
)
from .records import (
    NOTHING,
    Entry,
    Lease,
    Once,
    PackedRecords,
    Page,
    Record,
    joined,
    passing,
    wire_form,
    without,
)
from .retention import Retention

__all__ = [
    "LEASE",
    "NOTHING",
    "NO_VALUE",
    "Engine",
    "Entry",
    "Feed",
    "FullEngine",
    "Lease",
    "Member",
    "Once",
    "PackedRecords",
    "Page",
    "Record",
    "Retention",
    "full_engine",
    "joined",
    "lease_of",
    "passing",
    "wire_form",
    "without",
]
