"""A process that runs a resumable producer, or watches it elsewhere, and says so in its log.

python -m tests.broker.run_apart URL SECONDS-BETWEEN-EVENTS SECONDS-OF-A-LEASE
"""

import logging
import sys
import uuid

import trio

from trio_stream import BrokerError, GapError, ResumableRun, RunFailedError, open_broker
from trio_stream.broker.contract import engine as contract


def say(*what: object) -> None:
    sys.stdout.write(f"{' '.join(map(str, what))}\n")
    sys.stdout.flush()


async def main(url: str, pause: float) -> None:
    async def produce(run: ResumableRun) -> None:
        own = uuid.uuid4().hex
        say("RUNS", own)
        for number in range(10**9):
            await run.send(f"{own} {number}")
            await trio.sleep(pause)

    async with open_broker(url, history=10**6, history_bytes=2**30) as broker:
        while True:  # it asks anew, whenever it is over
            try:
                async with broker.resumable("r", produce) as events:
                    async for event in events:
                        say("GOT", event.data)
            except (RunFailedError, GapError, BrokerError) as exc:
                say("ENDED", type(exc).__name__, exc)
            await trio.sleep(0.05)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stdout)
    contract.LEASE = float(sys.argv[3])
    trio.run(main, sys.argv[1], float(sys.argv[2]))
