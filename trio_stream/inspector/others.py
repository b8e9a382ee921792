"""Other processes that share the broker's log: each is asked what it sees, and what to end.

Nobody is asked while nobody watches. What is said goes over the broker's backchannel, so it is for
those who can write to the broker's engine anyway.
"""

from __future__ import annotations

import itertools
import logging
from math import inf
from typing import Any, final

import msgspec
import trio

from ..broker import Broker
from ..broker.backchannel import Backchannel
from ..endpoints.refused import RefusedError
from ..errors import BrokerError
from .actions import End, end_here
from .lookout import Lookout
from .pace import PERIOD
from .process import process_name
from .runs import runs_of
from .scene import Picture
from .streams import picture_of, totals_of
from .view import View

__all__ = ["OtherProcesses"]

log: logging.Logger = logging.getLogger("trio_stream")

#: Seconds that a process may take to answer, and after which one that said nothing is left out.
_PATIENCE, _FORGET = 3.0, 5.0

#: Rows of another process's that are sent: what is said reaches every process.
_MOST_ROWS = 200


@final
class OtherProcesses:
    """Asks the others, and answers them.

    Raises:
      TypeError: the broker's engine is one's own that hands nothing on.
    """

    def __init__(self, broker: Broker, lookout: Lookout) -> None:
        self._broker = broker
        self._lookout = lookout
        self._numbers = itertools.count(1)
        self._awaited: dict[int, trio.MemorySendChannel[Any]] = {}
        self._totals: dict[str, tuple[float, dict[str, Any]]] = {}
        self._asked_at = -inf
        #: While this process looks around, as others want to know.
        self._watching: trio.CancelScope | None = None
        self._name = process_name()
        self._nursery: trio.Nursery | None = None
        self._channel = broker.backchannel("inspector", self._name, self._run)

    @property
    def totals(self) -> dict[str, dict[str, Any]]:
        """Of each that has answered of late, this one included: its totals, by its name."""
        oldest = trio.current_time() - _FORGET
        self._totals = {name: told for name, told in self._totals.items() if told[0] >= oldest}
        return {
            name: {what: value for what, value in told.items() if what != "runs"}
            for name, (_, told) in sorted(self._totals.items())
        }

    @property
    def runs(self) -> Picture:
        """The resumable runs of each that has answered of late, with the name of its process."""
        return {
            key: {**run, "process": name}
            for name in self.totals
            for key, run in self._totals[name][1].get("runs", {}).items()
        }

    async def ask_all(self) -> None:
        """Ask all for their totals, unless they were asked a moment ago. Waits for no answer."""
        now = trio.current_time()
        if now >= self._asked_at + PERIOD * 0.9:
            self._asked_at = now
            await self._say({"want": "totals"})

    async def picture(self, process: str, view: View) -> Picture | None:
        """What there is to see in one of them; None if it does not answer."""
        wanted = {**msgspec.structs.asdict(view), "rows": min(view.rows, _MOST_ROWS)}
        picture: Picture | None = await self._ask(process, {"want": "picture", "view": wanted})
        return picture

    async def end(self, action: End) -> dict[str, object]:
        """End a stream there; what is answered."""
        wanted = {"want": "end", "action": msgspec.to_builtins(action)}
        answer = await self._ask(action.process, wanted)
        if answer is None:
            raise RefusedError(404, f"process {action.process} does not answer")
        if "error" in answer:
            raise RefusedError(404, answer["error"])
        told: dict[str, object] = answer
        return told

    async def _ask(self, process: str, what: dict[str, Any]) -> Any:
        """The answer, or None."""
        number = next(self._numbers)
        answers, waiting = trio.open_memory_channel[Any](1)
        self._awaited[number] = answers
        with answers, waiting, trio.move_on_after(_PATIENCE):
            try:
                await self._say({**what, "number": number}, to=process)
                return await waiting.receive()
            finally:
                self._awaited.pop(number, None)
        return None

    async def _say(self, what: dict[str, Any], to: str | None = None) -> None:
        try:
            with trio.move_on_after(_PATIENCE):
                await self._channel.say({**what, "by": self._name}, to=to)
        except (BrokerError, ValueError):
            pass  # the engine is away, or it is no process's name: nobody answers

    # What the others say, and this process itself.

    async def _run(self, channel: Backchannel) -> None:
        """Hear what is said, until the broker is closed."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            while True:
                try:
                    await self._hear(await channel.receive())
                except (LookupError, TypeError, ValueError, msgspec.ValidationError) as exc:
                    # Another version of this speaks another language.
                    log.warning(
                        "what another process's inspector says is not understood: %(error)r",
                        {"error": exc},
                    )

    async def _hear(self, said: Any) -> None:
        answer = said.get("answer", {}) if isinstance(said, dict) else None
        if not isinstance(answer, dict) or not isinstance(said["by"], str):
            raise TypeError(f"a {type(said).__name__}")
        if "answer" in said:
            self._take(said)
        elif said["want"] == "end":
            await self._answer(said, self._end(said["action"]))
        else:
            self._keep_watching()
            look = await self._lookout.look()
            if said["want"] == "totals":
                answer = totals_of(look) | {"runs": runs_of(self._broker)}
            else:
                answer = picture_of(look, msgspec.convert(said["view"], View))
            await self._answer(said, answer)

    def _keep_watching(self) -> None:
        """Go on looking for a while: a rate is what is between two looks."""
        until = trio.current_time() + _FORGET
        if self._watching is not None:
            self._watching.deadline = until
        elif self._nursery is not None:
            self._watching = trio.CancelScope(deadline=until)
            self._nursery.start_soon(self._watch, self._watching)

    async def _watch(self, scope: trio.CancelScope) -> None:
        with self._lookout.watched(), scope:
            await trio.sleep_forever()
        self._watching = None

    def _take(self, said: dict[str, Any]) -> None:
        """An answer has come."""
        number = said.get("number")
        if number is None:
            self._totals[said["by"]] = (trio.current_time(), said["answer"])
        elif number in self._awaited:
            # A second answer is of a second inspector in the same process.
            self._awaited.pop(number).send_nowait(said["answer"])

    def _end(self, action: dict[str, Any]) -> dict[str, Any]:
        try:
            return end_here(msgspec.convert(action, End))
        except RefusedError as exc:
            return {"error": str(exc)}

    async def _answer(self, said: dict[str, Any], answer: dict[str, Any]) -> None:
        number = {"number": said["number"]} if "number" in said else {}
        await self._say({"answer": answer, **number}, to=said["by"])
