"""How often the inspector looks: by what that costs."""

from collections.abc import Iterator

import pytest

from trio_stream.inspector.pace import Pace


@pytest.mark.parametrize(
    ("spent", "rest"), [(0, 1), (0.001, 1), (0.01, 1), (0.02, 2), (0.03, 3), (0.05, 5), (10, 5)]
)
def test_it_takes_a_hundredth_of_a_core(
    spent: float, rest: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    times: Iterator[float] = iter([7, 7 + spent / 2, 100, 100 + spent / 2])
    monkeypatch.setattr("time.thread_time", lambda: next(times))
    pace = Pace()
    for _ in range(2):  # what is between the blocks is others' work
        with pace:
            pass
    assert pace.rest() == pytest.approx(rest)
    assert pace.rest() == 1
