"""What options may be: types, ranges and units, checked where the options are given.

Each check raises a `TypeError` or a `ValueError` that tells the option's name, what it may be and
what it was, so that nothing is left to fail later, in a request, a system task or a log. A number
has an upper bound too: what is beyond it was meant in another unit, or as "no limit", for which
there is None.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from inspect import (
    CO_ASYNC_GENERATOR,
    CO_COROUTINE,
    CO_GENERATOR,
    CO_VARARGS,
    Parameter,
    iscoroutine,
    signature,
)
from math import inf
from types import FunctionType, MethodType
from typing import Any

import trio

__all__ = [
    "MAX_COUNT",
    "MAX_SECONDS",
    "check_callable",
    "check_choice",
    "check_count",
    "check_flag",
    "check_function",
    "check_in_its_run",
    "check_kind",
    "check_on_trio",
    "check_scope",
    "check_seconds",
    "check_several",
    "check_share",
    "check_takes",
    "check_text",
    "naming",
    "refuse_coroutine",
    "shown",
]

#: 31 years. Milliseconds and nanoseconds since 1970 are more than that.
MAX_SECONDS = 10**9

#: More events or bytes than one stream or one topic ever has, and few enough for everybody to count
#: them exactly: SQLite, and Redis' scripts, whose numbers are floats with 14 digits.
MAX_COUNT = 10**12

_COUNTED = {0: "no argument", 1: "one argument", 2: "two arguments", 3: "three arguments"}


def check_seconds(
    name: str,
    value: object,
    hint: str = "",
    *,
    zero: bool = False,
    most: float = MAX_SECONDS,
    or_none: bool = False,
) -> None:
    """A number of seconds: an `int` or a `float`, finite, more than 0 or, with ``zero``, not less.

    Args:
      hint: what else there is to say, of the unit or of None.
      or_none: whether None is allowed, too.
    """
    if value is None and or_none:
        return
    also = f"; {hint}" if hint else ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {shown(value)}{also}")
    least = "at least 0" if zero else "more than 0"
    # Written so that NaN, which compares false to everything, is refused.
    if not (value >= 0 if zero else value > 0):
        end = f"{shown(value)}, and at most {most}{also}"
        raise ValueError(f"{name} must be {least} seconds, not {end}")
    if value > most:
        end = f"{shown(value)}, and {least}{also}"
        raise ValueError(f"{name} must be at most {most} seconds, not {end}")


def check_share(name: str, value: object, hint: str, *, most: float) -> None:
    """How much of something, as a number from 0 to ``most``: 1 is all of it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number from 0 to {most:g}, not {shown(value)}; {hint}")
    if not 0 <= value <= most:
        raise ValueError(f"{name} must be from 0 to {most:g}, not {shown(value)}; {hint}")


def check_count(
    name: str,
    value: object,
    hint: str = "",
    *,
    least: int = 1,
    most: int = MAX_COUNT,
    or_none: bool = False,
) -> None:
    """A whole number, of events or of bytes: an `int` from ``least`` to ``most``."""
    if value is None and or_none:
        return
    also = f"; {hint}" if hint else ""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {shown(value)}{also}")
    if value < least:
        end = f"{shown(value)}, and at most {most}{also}"
        raise ValueError(f"{name} must be at least {least}, not {end}")
    if value > most:
        end = f"{shown(value)}, and at least {least}{also}"
        raise ValueError(f"{name} must be at most {most}, not {end}")


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """One of a few words."""
    if not (isinstance(value, str) and value in choices):
        names = [repr(choice) for choice in choices]
        words = " or ".join(names) if len(names) == 2 else f"one of {', '.join(names)}"
        wrong = ValueError if isinstance(value, str) else TypeError
        raise wrong(f"{name} must be {words}, not {shown(value)}")


def check_flag(name: str, value: object, *, or_none: bool = False) -> None:
    """True or False: what is only true in an ``if`` was meant for another option."""
    if not (isinstance(value, bool) or (value is None and or_none)):
        words = "True, False or None" if or_none else "True or False"
        raise TypeError(f"{name} must be {words}, not {shown(value)}")


def check_callable(
    name: str,
    value: object,
    what: str,
    *,
    takes: int | None,
    or_none: bool = False,
    awaited: bool = False,
    iterated: bool = False,
) -> None:
    """A function; ``what`` says what it takes or returns. Else as `check_function`."""
    if not (callable(value) or (value is None and or_none)):
        raise TypeError(f"{name} must be a callable that {what}, not {shown(value)}")
    check_function(name, value, f" that {what}", takes=takes, awaited=awaited, iterated=iterated)


def check_function(
    name: str,
    function: object,
    what: str = "",
    *,
    takes: int | None,
    awaited: bool = False,
    iterated: bool = False,
) -> None:
    """A function that can be called, and whose answer is there when it returns.

    As far as that can be seen uncalled. What another one returns is nobody's answer, but something
    true and equal to nothing else, of which a limit or a permission would never take notice.

    Args:
      takes: how many arguments it is called with, all by position; None is not looked at.
      awaited: whether it may be async.
      iterated: whether it may be an async generator function.
    """
    inner = function
    while isinstance(inner, partial):
        inner = inner.func
    code = getattr(inner, "__code__", None)
    if code is None and callable(inner):
        code = getattr(type(inner).__call__, "__code__", None)
    flags = 0 if code is None else code.co_flags
    if flags & CO_GENERATOR:
        kind = "a generator function"
    elif flags & CO_ASYNC_GENERATOR and not iterated:
        kind = "an async generator function"
    elif flags & CO_COROUTINE and not awaited:
        kind = "an async function, which nobody would await"
    else:
        if takes is not None:
            check_takes(name, function, what, takes)
        return
    words = "an async function or generator function" if iterated else "a sync or an async function"
    raise TypeError(f"{name} must be {words if awaited else 'a sync function'}{what}, not {kind}")


def check_takes(
    name: str, function: object, what: str, count: int, too_few: str = "give it parameters"
) -> None:
    """A function that can be called with so many arguments by position, as far as it says.

    Args:
      too_few: what to do where it takes fewer.
    """
    if not callable(function):
        return
    least, most = _positional(function)
    if not least <= count <= most:
        called = _COUNTED.get(count, f"{count} arguments")
        hint = "functools.partial binds what else it takes" if count < least else too_few
        own = getattr(function, "__name__", type(function).__name__)
        raise TypeError(
            f"{name} must be a callable{what}: it is called with {called}, and {own} cannot be; "
            f"{hint}"
        )


def _positional(function: Callable[..., Any]) -> tuple[float, float]:
    """How many arguments by position it needs, and how many it takes at most."""
    bound = isinstance(function, MethodType)
    plain = function.__func__ if isinstance(function, MethodType) else function
    if type(plain) is FunctionType:  # as nearly all are: a signature takes 7 us, this 0.4
        code = plain.__code__
        most = inf if code.co_flags & CO_VARARGS else code.co_argcount - bound
        least = code.co_argcount - bound - len(plain.__defaults__ or ())
        named = code.co_kwonlyargcount - len(plain.__kwdefaults__ or ())
        return (inf if named else least), most
    try:
        # Of the function itself: what one that wraps another is called with is its own affair.
        parameters = signature(function, follow_wrapped=False).parameters.values()
    except (TypeError, ValueError):  # some of C's say nothing
        return 0, inf
    by_place = [each for each in parameters if each.kind <= Parameter.POSITIONAL_OR_KEYWORD]
    kinds = {each.kind for each in parameters if each.default is Parameter.empty}
    least = sum(each.default is Parameter.empty for each in by_place)
    most = inf if Parameter.VAR_POSITIONAL in kinds else len(by_place)
    return (inf if Parameter.KEYWORD_ONLY in kinds else least), most


def refuse_coroutine(name: str, answer: object) -> None:
    """Raise a `TypeError` where what `check_function` let pass has called an async function."""
    if iscoroutine(answer):
        answer.close()
        raise TypeError(f"{name}= returned a coroutine, which nobody awaits: it must be sync")


def check_scope(scope: object) -> None:
    """The ASGI scope of a request: what is a mapping, as frameworks' requests seldom are."""
    if not isinstance(scope, Mapping):
        raise TypeError(
            f"scope must be a request's ASGI scope, request.scope in most frameworks, not of type "
            f"{type(scope).__name__}"
        )


def check_kind(
    name: str, value: object, kind: type | tuple[type, ...], what: str, *, or_none: bool = False
) -> None:
    """An instance of this class or of one of these. Its value may be a secret, and is not told."""
    if not (isinstance(value, kind) or (value is None and or_none)):
        raise TypeError(f"{name} must be {what}, not of type {type(value).__name__}")


def check_several(values: object, one: str) -> None:
    """Several values, and not one that can be iterated: ``one`` names the method that takes it."""
    check_kind("values", values, Iterable, "several values, as in a list")
    if isinstance(values, str | bytes | Mapping):
        raise TypeError(
            f"values are several, and this is one {type(values).__name__}: `{one}` it, or put it "
            "into a list"
        )


def check_text(name: str, value: object, *, or_none: bool = False) -> None:
    """A `str` that can be encoded. Its value may be a secret, and is not told."""
    check_kind(name, value, str, "a str" + " or None" * or_none, or_none=or_none)
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{name} cannot hold half a surrogate pair") from None


def check_on_trio() -> None:
    """Whether this is called in a Trio run; else a `RuntimeError` that says how to have one."""
    if not trio.lowlevel.in_trio_run():
        raise RuntimeError(
            "trio_stream runs on Trio: start a program with trio.run, a server with "
            "hypercorn --worker-class trio; another thread calls by trio.from_thread"
        )


def check_in_its_run(what: str) -> None:
    """Whether this is called in a Trio run, by who may wake its tasks and write to its sockets.

    What another thread began there would be done in part, when Trio refuses the rest of it.
    """
    if not trio.lowlevel.in_trio_run():
        raise RuntimeError(
            f"a stream that is open belongs to its Trio run: from another thread, "
            f"trio.from_thread.run_sync({what}, ...)"
        )


@contextmanager
def naming(name: str) -> Iterator[None]:
    """What is wrong with a part of an option is raised with the option's name."""
    try:
        yield
    except (TypeError, ValueError) as exc:
        kind = TypeError if isinstance(exc, TypeError) else ValueError
        raise kind(f"{name}: {exc}") from exc


def shown(value: object) -> str:
    """A value as an error shows it: in a line, also where it is a number of a million digits."""
    if isinstance(value, int) and not -(10**40) < value < 10**40:
        return f"an int of {value.bit_length()} bits"
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # a list of such a number, or a class of the user's own
        text = f"an object of type {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."
