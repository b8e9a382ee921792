#!/bin/sh
# trio-asyncio 0.16.0 (with anyio 4.16.0, on Trio 0.35.0 and Python before 3.14)
#
# Expected: what runs on asyncio runs on a loop of trio-asyncio's, whichever of the two was imported
#   first.
# Instead: where anyio has run something on asyncio in this process, and trio_asyncio is imported
#   after that, each task group of anyio's fails with "no running event loop", inside a loop that
#   runs. The reason is plain: trio-asyncio puts functions of its own in the place of asyncio's when
#   it is imported, and anyio has the old one from its `from asyncio import get_running_loop`.
# Matters: a program that does one thing by asyncio at its start has the import too late for good,
#   and an import sorter may see to that as well. httpx, and with it most SDKs for models, runs on
#   anyio where it runs on asyncio: they are what trio-asyncio is there for.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    trio-asyncio==0.16.0 anyio==4.16.0 trio==0.35.0

cat > seen.py <<'PYTHON'
import sys

import anyio
import trio

if "early" in sys.argv:
    import trio_asyncio
anyio.run(anyio.sleep, 0, backend="asyncio")  # what a program may do at its start
if "late" in sys.argv:
    import trio_asyncio


async def group():
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.sleep, 0.01)
    return "done"


async def main():
    async with trio_asyncio.open_loop():
        try:
            return await trio_asyncio.aio_as_trio(group)()
        except RuntimeError as error:
            return f"RuntimeError: {error}"


print(trio.run(main))
PYTHON
early=$(timeout 60 venv/bin/python seen.py early)
late=$(timeout 60 venv/bin/python seen.py late)
echo "trio_asyncio imported before anyio ran: $early"
echo "trio_asyncio imported after: $late"
test "$early" = "done"
test "$late" = "RuntimeError: no running event loop"
