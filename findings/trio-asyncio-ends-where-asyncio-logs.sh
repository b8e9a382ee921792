#!/bin/sh
# trio-asyncio 0.16.0 (on Trio 0.35.0 and Python before 3.14; asyncio for comparison)
#
# Expected: what fails in asyncio with nobody to see it, a task that nobody waits for or a callback,
#   is a line in the log ("Task exception was never retrieved"), and the rest goes on.
# Instead: the line is there, and then the same exception cancels the whole `open_loop()` block and
#   comes out of it. For a task it does so when Python collects the task, at a place that has
#   nothing to do with it.
# Matters: libraries for asyncio leave such tasks behind, as the log line is all it costs. With a
#   loop that is open as long as the server, one user's failed background task ends everybody's
#   streams. loop.set_exception_handler, with a handler that only logs, is the cure.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    trio-asyncio==0.16.0 trio==0.35.0

cat > seen.py <<'PYTHON'
import asyncio
import logging

import trio
import trio_asyncio

logs = []
handler = logging.Handler()
handler.emit = lambda record: logs.append(record.getMessage().splitlines()[0])
logging.getLogger("asyncio").addHandler(handler)


async def report():
    raise ValueError("the statistics are down")


async def leave_a_task():
    asyncio.create_task(report())  # noqa: RUF006
    await asyncio.sleep(0.2)
    return "went on"


async def leave_a_callback():
    asyncio.get_running_loop().call_soon(int, "none")
    await asyncio.sleep(0.2)
    return "went on"


def leaves(error):
    while isinstance(error, BaseExceptionGroup):
        [error] = error.exceptions
    return type(error).__name__


async def inside(work, quiet):
    async with trio_asyncio.open_loop() as loop:
        if quiet:
            loop.set_exception_handler(lambda loop, context: logs.append(context["message"]))
        return await trio_asyncio.aio_as_trio(work)()


def outcome(run, *arguments):
    try:
        return run(*arguments)
    except BaseException as error:
        return f"ended by {leaves(error)}"


for work in (leave_a_task, leave_a_callback):
    seen = {
        "asyncio": outcome(asyncio.run, work()),
        "trio-asyncio": outcome(trio.run, inside, work, False),
        "with a handler": outcome(trio.run, inside, work, True),
    }
    print(f"{work.__name__}: {seen}; logged: {logs}")
    assert seen["asyncio"] == seen["with a handler"] == "went on"
    assert seen["trio-asyncio"] == "ended by ValueError"
    assert len(logs) == 3
    logs.clear()
PYTHON
timeout 60 venv/bin/python seen.py
