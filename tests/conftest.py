"""What all tests share. The helpers themselves are in `tests/support`."""

import inspect
import os
import random
import signal
import sys
from collections.abc import Generator

import httpx
import httpx2
import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("tests.support")

from tests.support.certificates import Certificate, make_certificate  # noqa: E402
from tests.support.leftovers import drop_leftovers  # noqa: E402
from tests.support.need import in_ci  # noqa: E402
from tests.support.tasks import NoSystemTaskLeft, NothingLeft, leaving_nothing  # noqa: E402
from trio_stream.stream import apart  # noqa: E402

# No deadline: how long an example takes, or its making, says more about the machine than about the
# code. In CI the examples are the same in every run, so that a failure there is a failure here.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, print_blob=True)
settings.load_profile("ci" if in_ci() else "default")

# They give up on who says nothing for five seconds, which a busy machine may take.
for httpx_client in (httpx.Client, httpx.AsyncClient, httpx2.Client, httpx2.AsyncClient):
    httpx_client.__init__.__kwdefaults__["timeout"] = 60.0

# A shell that starts something in the background has it ignore SIGINT, and so do its children: the
# servers that tests start, and send it to.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# trio-asyncio does not know Python 3.14.
if sys.version_info >= (3, 14):
    collect_ignore = ["frameworks/test_trio_asyncio.py", "models/test_sdks.py"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two for each processor: the tests spend two thirds of their time waiting."""
    return 2 * (os.cpu_count() or 1)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Function) -> Generator[None, None, None]:
    """Have each async test look at what it left, before any fixture is torn down."""
    if item.get_closest_marker("trio"):
        guard = item.funcargs.get("no_task_left", NoSystemTaskLeft())
        assert isinstance(guard, NothingLeft)
        holder, name = item, "obj"
        if hasattr(item.obj, "hypothesis"):  # the test of one example is a layer further in
            holder, name = item.obj.hypothesis, "inner_test"
        test = getattr(holder, name)
        if inspect.iscoroutinefunction(test):
            setattr(holder, name, leaving_nothing(test, guard))
    try:
        return (yield)
    except pytest.skip.Exception as skipped:
        raise with_reason(skipped) from None


@pytest.hookimpl(trylast=True)  # behind a debugger
def pytest_exception_interact(call: pytest.CallInfo[None]) -> None:
    """Have a test that failed leave nothing for others."""
    if call.excinfo is not None:
        drop_leftovers(call.excinfo.value)


def with_reason(skipped: BaseException) -> BaseException:
    """The skip as the test raised it: pytest-trio 0.8 raises a new one, without the reason."""
    group = skipped.__context__
    while isinstance(group, BaseExceptionGroup):
        skipped, group = group.exceptions[0], group.exceptions[0]
    return skipped


@pytest.fixture
def no_task_left() -> NothingLeft:
    """The test fails when a task or an async generator is left that its body has started.

    Also in the middle of a test: `await no_task_left()`.
    """
    return NothingLeft()


@pytest.fixture
def by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this test what keeps clients apart does so, as it does for users."""
    monkeypatch.setattr(apart, "chance", random.random)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate for localhost, 127.0.0.1 and ::1, and the authority that signed it."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))
