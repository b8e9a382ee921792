"""No test is given a reading of the one before."""

import pytest

from trio_stream.metrics.readings import readings


@pytest.fixture(autouse=True)
def new_reading() -> None:
    readings.forget()
