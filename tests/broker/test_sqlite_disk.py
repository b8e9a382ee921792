"""``sqlite://`` on a disk that hangs, and on files that somebody deletes, moves or replaces."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.need import need
from trio_stream import BrokerStorageError, open_broker
from trio_stream.broker.sqlite import watch

PROJECT = Path(__file__).parents[2]
SOURCE = PROJECT / "tests/support/slow_disk.c"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk that hangs at will, by a library that comes before the system's."""
    if sys.platform != "linux":
        pytest.skip("LD_PRELOAD and /proc are Linux's")
    [compiler] = need("cc")
    library = tmp_path_factory.mktemp("disk") / "slow_disk.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-o", library, SOURCE, "-ldl"], check=True
    )
    return library


class Disk:
    """A process whose disk hangs, and what it has reported."""

    def __init__(self, library: Path, folder: Path) -> None:
        self._library = library
        self.url = f"sqlite:///{folder}/log.db"
        self.flag = folder / "hangs"
        self.reports: list[dict[str, Any]] = []

    async def run(self, scenario: str) -> None:
        command = [sys.executable, "-m", "tests.broker.on_slow_disk", scenario, self.url, self.flag]
        preloaded = {"LD_PRELOAD": str(self._library), "DISK_HANGS": str(self.flag)}
        with trio.fail_after(60):
            process = await trio.run_process(
                command, cwd=PROJECT, env={**os.environ, **preloaded}, capture_stdout=True
            )
        self.reports = [json.loads(line) for line in process.stdout.splitlines()]

    def __getitem__(self, what: str) -> dict[str, Any]:
        [report] = [report for report in self.reports if report["what"] == what]
        return report

    def log(self, level: str) -> list[str]:
        return [r["message"] for r in self.reports if r["what"] == "log" and r["level"] == level]


@pytest.fixture
def disk(library: Path, tmp_path: Path) -> Disk:
    return Disk(library, tmp_path)


async def test_who_has_a_deadline_comes_back_at_it(disk: Disk) -> None:
    await disk.run("deadlines")
    for what in ("under way", "waiting", "read"):
        assert disk[what]["cancelled"]
        assert disk[what]["seconds"] >= 0.5  # the disk hangs until all of them are back
    # What the disk was at is stored, and the log says so; what waited is not. Nothing is doubled.
    stored = ["first", "under way", "last"]
    assert disk["events"]["found"] == stored
    assert disk["events"]["followed"] == stored[1:]
    [warning] = [line for line in disk.log("WARNING") if "cancelled" in line]
    assert "1 events whose publishers were cancelled" in warning
    assert warning.endswith("are stored")


async def test_a_disk_that_does_not_answer_is_told_and_that_it_does_again(disk: Disk) -> None:
    await disk.run("told")
    [error] = disk.log("ERROR")
    assert "log.db: the disk has not answered for" in error
    assert [line for line in disk.log("WARNING") if "the disk answers again" in line]


async def test_a_broker_ends_though_its_disk_does_not_answer(disk: Disk) -> None:
    await disk.run("closing")
    assert disk["closed"]["hangs"]
    assert "may be stored, or not" in disk["publisher"]["message"]
    assert "the last 1 events are stored is not known" in disk.log("ERROR")[-1]
    disk.flag.unlink()
    async with open_broker(disk.url) as broker:
        last = await broker.publish("t", "new")
        async with broker.subscribe("t", after="earliest") as events:
            found = [await anext(events)]
            while found[-1].id != last:
                found.append(await anext(events))
    data = [event.data for event in found]
    assert data in (["stored", "new"], ["stored", "unknown", "new"])


async def test_nothing_is_lost_or_doubled_however_the_disk_hangs(disk: Disk) -> None:
    await disk.run("at_random")
    events = disk["events"]
    found, acknowledged, cancelled = events["found"], events["acknowledged"], events["cancelled"]
    assert found.pop() == "last"
    assert len(acknowledged) > 50
    assert len(cancelled) > 50
    assert len({*found}) == len(found)
    assert {*acknowledged} <= {*found} <= {*acknowledged, *cancelled}
    assert events["followed"] == found[: len(events["followed"])]
    for name in range(8):
        own = [int(value.split(".")[1]) for value in found if value.startswith(f"{name}.")]
        assert own == sorted(own)


# Its place.


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


def delete(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    copy.rename(path)


def move_the_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


def delete_the_wal(path: Path) -> None:
    path.with_name("log.db-wal").unlink()


@pytest.mark.parametrize("do", [delete, replace, move_the_folder, delete_the_wal])
async def test_a_file_that_is_gone_is_told_and_nothing_is_acknowledged(
    do: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_LOOK", 0.05)
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "log.db"
    async with open_broker(f"sqlite:///{path}") as broker:
        await broker.publish("t", "x")
        do(path)
        with pytest.raises(BrokerStorageError, match="while this broker has it open") as caught:
            await broker.publish("t", "y")
        assert ("replaced" if do is replace else "deleted or moved") in str(caught.value)
        # Without a publish as well.
        with trio.fail_after(60):
            while not caplog.records:
                await trio.sleep(0.01)
        # What there was can be read.
        assert (await anext(broker.subscribe("t", after="earliest"))).data == "x"
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    if do is replace:  # and what is there now is not touched
        async with open_broker(f"sqlite:///{path}") as broker:
            assert await broker.publish("t", "z")


async def test_one_that_is_put_back_goes_on(path: Path) -> None:
    url = f"sqlite:///{path}"
    async with open_broker(url) as broker:
        ids = [await broker.publish("t", "x")]
        path.rename(path.with_name("elsewhere"))
        with pytest.raises(BrokerStorageError):
            await broker.publish("t", "y")
        path.with_name("elsewhere").rename(path)
        ids.append(await broker.publish("t", "z"))
    async with open_broker(url) as broker, broker.subscribe("t", after="earliest") as events:
        assert [(await anext(events)).id for _ in range(2)] == ids


async def test_the_working_directory_may_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with open_broker("sqlite:///log.db") as broker:
        await broker.publish("t", "x")
        monkeypatch.chdir("/")
        await broker.publish("t", "y")


async def test_a_symlink_is_the_file_that_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "real.db").touch()
    link = tmp_path / "link.db"
    link.symlink_to("real.db")
    async with open_broker(f"sqlite:///{link}") as broker:
        await broker.publish("t", "x")
        link.unlink()
        with pytest.raises(BrokerStorageError, match=r"link\.db has been deleted"):
            await broker.publish("t", "y")
