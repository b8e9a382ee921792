"""The hook in conftest, tested by running small test files that leave something behind."""

import itertools

import pytest
import trio
import trio.testing

from tests.support.tasks import NothingLeft, task_tree

pytest_plugins = ["pytester"]

CONFTEST = """
from tests.conftest import no_task_left, pytest_runtest_call
"""


def outcome(pytester: pytest.Pytester, test: str) -> pytest.RunResult:
    pytester.makeini("[pytest]\ntrio_mode = true\nfilterwarnings = error")
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile("import trio\nimport pytest\n" + test)
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", "-ra")


def test_a_task_left_in_the_nursery_is_shown_in_the_tree(pytester: pytest.Pytester) -> None:
    result = outcome(
        pytester,
        """
async def test_leaves(no_task_left, nursery):
    nursery.start_soon(trio.sleep_forever, name="forgotten")
""",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*1 tasks were left running*", "*-> *forgotten"])


def test_unwatched_a_task_may_stay_in_the_nursery(pytester: pytest.Pytester) -> None:
    result = outcome(
        pytester,
        """
async def test_leaves(nursery):
    nursery.start_soon(trio.sleep_forever, name="forgotten")
""",
    )
    result.assert_outcomes(passed=1)


def test_fixtures_may_run_what_they_like(pytester: pytest.Pytester) -> None:
    result = outcome(
        pytester,
        """
@pytest.fixture
async def server(nursery):
    async def values():
        yield 1
        yield 2
    opened = values()
    await anext(opened)
    nursery.start_soon(trio.sleep_forever)
    yield
    await opened.aclose()

async def test_serves(server, no_task_left, autojump_clock):
    await trio.sleep(3)
    await no_task_left()
""",
    )
    result.assert_outcomes(passed=1)


def test_a_system_task_is_seen_in_every_test(pytester: pytest.Pytester) -> None:
    result = outcome(
        pytester,
        """
async def test_leaves():
    trio.lowlevel.spawn_system_task(trio.sleep_forever, name="forgotten")

async def test_leaves_nothing():
    pass
""",
    )
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["*1 system tasks were left running*", "*-> *forgotten"])


def test_an_async_generator_left_open_is_named(pytester: pytest.Pytester) -> None:
    result = outcome(
        pytester,
        """
async def forgotten():
    yield 1

opened = forgotten()

async def test_leaves(no_task_left):
    await anext(opened)
""",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*async generators were left open*forgotten*"])


def test_each_example_of_a_property_is_watched(pytester: pytest.Pytester) -> None:
    result = outcome(
        pytester,
        """
from hypothesis import given, settings, strategies

@settings(max_examples=5, database=None, deadline=None)
@given(number=strategies.integers())
async def test_leaves(number):
    trio.lowlevel.spawn_system_task(trio.sleep_forever, name="forgotten")

@pytest.mark.parametrize("letter", ["a", "b"])
@settings(max_examples=5, database=None, deadline=None)
@given(number=strategies.integers())
async def test_leaves_nothing(letter, number):
    await trio.sleep(0)
""",
    )
    result.assert_outcomes(failed=1, passed=2)
    result.stdout.fnmatch_lines(["*1 system tasks were left running*"])


def test_a_skip_in_an_async_test_keeps_its_reason(pytester: pytest.Pytester) -> None:
    result = outcome(
        pytester,
        """
async def test_skips():
    pytest.skip("not today")
""",
    )
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED * not today"])


async def test_asked_in_the_middle_it_names_what_still_runs(no_task_left: NothingLeft) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        with pytest.raises(AssertionError, match=r"-> .*trio\.sleep_forever"):
            await no_task_left()
        nursery.cancel_scope.cancel()
    await no_task_left()


async def test_the_tree_shows_who_started_whom() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever, name="child")
        await trio.testing.wait_all_tasks_blocked()
        lines = task_tree().splitlines()
        nursery.cancel_scope.cancel()
    assert lines[0] == "   <init>"
    parent, child = next((a, b) for a, b in itertools.pairwise(lines) if "child" in b)
    assert "test_the_tree_shows_who_started_whom" in parent
    assert child.index("child") == parent.index("<test") + 4
