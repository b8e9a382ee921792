"""Where there is no Trio run, what needs one says so at once."""

from collections.abc import Awaitable, Callable

import pytest

from trio_stream import EventSource, open_broker

URL = "http://[::1]:9/"


@pytest.mark.parametrize(
    "use",
    [
        lambda: open_broker().__aenter__(),
        lambda: EventSource(URL).__aenter__(),
        lambda: EventSource(URL).connect(),
        lambda: EventSource(URL).receive(),
        lambda: anext(aiter(EventSource(URL))),
    ],
)
def test_it_says_what_to_start_it_with(use: Callable[[], Awaitable[object]]) -> None:
    with pytest.raises(RuntimeError, match="runs on Trio: start a program with"):
        use().__await__().send(None)
