"""What a failure says that comes from code for another loop than the one it was run on."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["advise", "needs_asyncio"]

_NEEDS_ASYNCIO = (
    "This needs asyncio, and a stream runs its source on Trio. Hand it over by a loop of "
    "trio_stream.frameworks.trio_asyncio.open_asyncio, which the extra trio-stream[asyncio] "
    "installs; or iterate the SDK's sync client, in a generator that closes its stream."
)

_TOO_LATE = (
    "This runs on asyncio, and has functions of asyncio's that trio-asyncio replaces: import "
    "trio_stream.frameworks.trio_asyncio before whatever runs on asyncio, and under pytest leave "
    "anyio's plugin out, by -p no:anyio."
)

_NEEDS_TRIO = (
    "This awaits what is Trio's, and was run on asyncio: give it to the Stream itself, and to "
    "open_asyncio's loop only what needs asyncio."
)


def needs_asyncio(error: BaseException) -> bool:
    """Whether this is how asyncio's code fails on Trio."""
    text = str(error)
    if isinstance(error, RuntimeError):  # as asyncio says it
        return "no running event loop" in text or "no current event loop" in text
    # As Trio says it, of an asyncio future or a bare yield that was awaited.
    return isinstance(error, TypeError) and "unrecognized yield message" in text


def advise(failure: BaseException, *, on_asyncio: bool = False) -> None:
    """Add a note to what a source failed with, if it ran on the wrong loop: what to do instead.

    Args:
      on_asyncio: whether it ran on a loop of asyncio's.
    """
    if not {_NEEDS_ASYNCIO, _TOO_LATE, _NEEDS_TRIO}.isdisjoint(getattr(failure, "__notes__", ())):
        return
    for error in _parts(failure):
        if needs_asyncio(error):
            note = _TOO_LATE if on_asyncio else _NEEDS_ASYNCIO
        elif isinstance(error, RuntimeError) and "got bad yield" in str(error):  # asyncio's words
            note = _NEEDS_TRIO
        else:
            continue
        failure.add_note(note)
        return


def _parts(failure: BaseException) -> Iterator[BaseException]:
    """The failure, and all that is in it or behind it: SDKs raise errors of their own from it."""
    waiting: list[BaseException | None] = [failure]
    seen: set[int] = set()
    while waiting:
        error = waiting.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        yield error
        waiting += [error.__context__, error.__cause__]
        if isinstance(error, BaseExceptionGroup):
            waiting += error.exceptions
