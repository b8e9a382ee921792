import os
from pathlib import Path

import pytest
import trio

from tests.support.hypercorn_process import hypercorn
from tests.support.processes import Process


async def test_log_holds_both_outputs(tmp_path: Path) -> None:
    process = await Process.start(["sh", "-c", "echo one; echo two >&2"], tmp_path / "log")
    assert await process.wait(within=30) == 0
    assert process.log() == "one\ntwo\n"


async def test_a_log_line_that_never_comes_is_an_error_that_shows_the_log(tmp_path: Path) -> None:
    process = await Process.start(["sh", "-c", "echo here; sleep 60"], tmp_path / "log")
    await process.wait_for_log("here")
    with pytest.raises(AssertionError, match=r"no 'there' in 0.3 s:\s+here"):
        await process.wait_for_log("there", within=0.3)
    await process.kill()
    assert process.returncode == -9


async def test_a_program_that_ignores_the_signal_is_an_error(tmp_path: Path) -> None:
    process = await Process.start(["sh", "-c", "trap '' TERM; echo up; sleep 60"], tmp_path / "log")
    await process.wait_for_log("up")
    with pytest.raises(AssertionError, match=r"still running after 0.3 s"):
        await process.stop(within=0.3)
    await process.kill()


async def test_a_child_that_outlives_its_parent_is_an_error_until_it_is_killed(
    tmp_path: Path,
) -> None:
    process = await Process.start(["sh", "-c", "sleep 60 & echo $!"], tmp_path / "log")
    while process.returncode is None:
        await trio.sleep(0.01)
    with pytest.raises(AssertionError, match=r"its children outlived it by 0.5 s"):
        await process.wait(within=0.5)
    await process.kill()
    child = Path(f"/proc/{process.log().strip()}/stat")
    assert not child.exists() or " Z " in child.read_text()


async def test_the_log_can_be_read_after_its_folder_has_gone(tmp_path: Path) -> None:
    process = await Process.start(["sh", "-c", "echo here"], tmp_path / "log")
    await process.wait(within=30)
    await process.kill()
    (tmp_path / "log").unlink()
    assert process.log() == "here\n"


async def test_environment_variables_are_added(tmp_path: Path) -> None:
    command = ["sh", "-c", 'echo "$GREETING $PATH"']
    process = await Process.start(command, tmp_path / "log", env={"GREETING": "hello"})
    await process.wait(within=30)
    assert process.log() == f"hello {os.environ['PATH']}\n"


async def test_a_traceback_in_a_servers_log_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="failing as asked"):
        async with hypercorn("tests.support_tests.apps:hello") as running, running.client() as http:
            await http.get("/fail")


async def test_a_failing_test_is_shown_the_servers_log() -> None:
    with pytest.raises(ValueError, match="mine") as failure:
        async with hypercorn("tests.support_tests.apps:hello"):
            raise ValueError("mine")
    assert "Running on http://127.0.0.1:" in failure.value.__notes__[0]
