"""What a failed test leaves open is gone before the next one, and nothing warns of it."""

import gc
import socket
import warnings
import weakref
from typing import Any

import pytest

from tests.support.leftovers import drop_leftovers


def fails(sockets: weakref.WeakSet[socket.socket]) -> None:
    mine = socket.socket()
    sockets.add(mine)
    raise ZeroDivisionError


def fails_in_a_group(sockets: Any) -> None:
    try:
        fails(sockets)
    except ZeroDivisionError as exc:
        raise ExceptionGroup("as of a nursery", [exc]) from None


def fails_once_more(sockets: Any) -> None:
    try:
        fails(sockets)
    finally:
        int("none")


@pytest.mark.parametrize("test", [fails, fails_in_a_group, fails_once_more])
def test_what_its_frames_hold_is_closed_without_a_word(test: Any) -> None:
    sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
    with pytest.raises((ZeroDivisionError, ValueError, ExceptionGroup)) as caught:
        test(sockets)
    gc.collect()
    assert len(sockets) == 1
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        drop_leftovers(caught.value)
    assert not sockets
    assert not told
