"""The soak, in a size for every run; `tests/broker/soak/run.py` runs any other."""

import pytest

from tests.broker.soak.run import soak


@pytest.mark.timeout(300)
async def test_every_subscriber_of_four_workers_gets_all_of_it_once_and_in_order() -> None:
    result = await soak(40, 1000, cut_after=0.1)
    assert result.wrong == []
    assert result.received == result.wanted == 30 * 1000 + 10 * 500
    assert result.cuts > 20
