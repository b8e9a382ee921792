"""What a test that failed has left open: it must not become another test's failure."""

import gc
import traceback
import warnings
from collections.abc import Iterator


def drop_leftovers(failure: BaseException) -> None:
    """Let go of all that the frames of this failure hold, and collect it without a word.

    pytest keeps the last failure. The sockets, files and generators that its frames hold would be
    collected in the middle of a later test, which each warning about them fails.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for exc in _all_of(failure, set()):
            traceback.clear_frames(exc.__traceback__)
        gc.collect()


def _all_of(exc: BaseException | None, seen: set[int]) -> Iterator[BaseException]:
    """This exception, those in it, and those before it."""
    if exc is None or id(exc) in seen:
        return
    seen.add(id(exc))
    yield exc
    inner = exc.exceptions if isinstance(exc, BaseExceptionGroup) else ()
    for other in (exc.__cause__, exc.__context__, *inner):
        yield from _all_of(other, seen)
