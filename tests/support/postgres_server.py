"""Debian's `postgresql`, on a port and in a folder of its own. Never a mock.

Another version is run where `POSTGRES_PROGRAMS` names the folder of its `initdb` and the like.
"""

from __future__ import annotations

import copy
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import trio

from tests.support.need import SEARCH_PATH, unavailable
from trio_stream.broker.postgres.migrate import migrate

#: Where Debian puts what only its own scripts call.
_PLACES = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)

#: Commits need not be on the disk where that is not what is tested.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

#: They are where what kills the processes takes none of them back.
SAFE = {"fsync": "off", "synchronous_commit": "on"}

_EMPTY = """
TRUNCATE trio_stream.outbox, trio_stream.events, trio_stream.topics, trio_stream.signals,
         trio_stream.once, trio_stream.answers, trio_stream.leases, trio_stream.present,
         trio_stream.described;
UPDATE trio_stream.log SET base = trio_stream.now_as_id(), lost = 0;
SELECT setval('trio_stream.ids', base) FROM trio_stream.log
"""


class PostgresServer:
    """One PostgreSQL, which keeps its port and its files over any number of crashes."""

    def __init__(self, programs: str, folder: Path, options: dict[str, str]) -> None:
        self.port = free_port()
        self.folder = folder / "data"
        self.programs = programs
        self._logfile = folder / "log"
        self._numbers = count()
        self._has_template = False
        self._run("initdb", "-D", self.folder, "-U", "postgres", "-A", "trust", "--no-sync")
        self.configure(
            listen_addresses="127.0.0.1",
            unix_socket_directories="",
            port=str(self.port),
            max_prepared_transactions="20",
            **{"shared_buffers": "32MB", "max_connections": "200", **options},
        )

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def configure(self, **options: str) -> None:
        """What holds from the next start, or `command("reload")`, on."""
        with (self.folder / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in options.items())

    def own(self, *names: str) -> None:
        """These files of its folder are its own, and nobody else may read them."""
        for name in names:
            (self.folder / name).chmod(0o600)
            status = self.folder.stat()
            os.chown(self.folder / name, status.st_uid, status.st_gid)

    def start(self) -> None:
        self.command("start", "-w", "-t", "60", "-l", str(self._logfile))

    def restart(self) -> None:
        self.command("restart", "-w", "-m", "fast", "-l", str(self._logfile))

    def crash(self) -> None:
        """Kill all of it. `start` brings it back."""
        first = self.pids()[0]
        os.kill(first, signal.SIGSTOP)  # so that it starts no more
        pids = self.pids()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while any(map(_is_alive, pids)):
            time.sleep(0.01)
        # Where nobody waits for it, its number is still taken.
        (self.folder / "postmaster.pid").unlink()

    def end(self) -> None:
        """At once; also where it has been killed or stopped."""
        if (self.folder / "postmaster.pid").exists():
            self.command("stop", "-m", "immediate")

    def copy(self) -> Path:
        """What a standby has that has heard of all so far; ends and starts it."""
        copied = self.folder.with_name("copied")
        self.command("stop", "-m", "fast")
        subprocess.run(["cp", "-a", self.folder, copied], check=True)
        self.start()
        return copied

    def standby(self) -> PostgresServer:
        """Another one that follows it, as `pg_basebackup` makes it, and can be promoted."""
        folder = self.folder.with_name("standby")
        given = ("-D", folder, "-d", self.url(), "-R", "-c", "fast", "--no-sync")
        self._run("pg_basebackup", *given)
        other = self._at(folder)
        other.start()
        return other

    def follow_no_more(self) -> None:
        """A standby has what it has; the one that it follows goes on, and is not waited for."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
            connection.execute("SELECT pg_reload_conf()")
            while connection.execute("SELECT FROM pg_stat_wal_receiver").fetchall():
                time.sleep(0.01)

    def beside(self, standby: Path) -> PostgresServer:
        """The standby, promoted, at an address of its own, while this one goes on."""
        other = self._at(standby)
        (standby / "standby.signal").touch()
        other.start()
        other.command("promote", "-w")
        return other

    def _at(self, folder: Path) -> PostgresServer:
        """One whose files are there, at a port of its own."""
        other = copy.copy(self)
        other.folder, other.port = folder, free_port()
        other._logfile = folder.with_name("other_log")
        other.configure(port=str(other.port))
        return other

    def command(self, *words: str) -> None:
        self._run("pg_ctl", "-D", self.folder, "-s", *words)

    def pids(self) -> list[int]:
        """Of the server's processes now."""
        first = (self.folder / "postmaster.pid").read_text().splitlines()[0]
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        return [int(first), *map(int, children)]

    def log(self) -> str:
        return self._logfile.read_text()

    def empty_database(self, template: str = "template1") -> str:
        """The URL of a new one."""
        name = f"db{next(self._numbers)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        return self.url(name)

    def database(self) -> str:
        """The URL of a new one with the schema."""
        if not self._has_template:
            with psycopg.connect(self.url(), autocommit=True) as connection:
                connection.execute("CREATE DATABASE topics")
            migrate(self.url("topics"))
            self._has_template = True
        return self.empty_database("topics")

    def emptied(self, url: str) -> str:
        """The same, after what is there is deleted: in a tenth of the time of a new one."""
        with psycopg.connect(url) as connection:
            connection.execute(_EMPTY)
        return url

    def _run(self, program: str, *words: str | Path) -> None:
        """It runs for no superuser of the machine."""
        options = {"user": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        subprocess.run(
            [f"{self.programs}/{program}", *words],
            **options,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd="/",
            timeout=120,
        )


_ASLEEP = """
SELECT EXISTS (SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = database
               WHERE datname = current_database() AND locktype = 'advisory' AND granted
               AND (classid, objid, mode) = (1953655151, 2, 'ExclusiveLock'))
       AND clock_timestamp() - interval '10 ms' > coalesce(
           (SELECT time FROM trio_stream.events ORDER BY id DESC LIMIT 1), 'epoch')
"""


async def until_asleep(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Wait until the broker on duty sleeps, and no event is new: who commits numbers his own."""
    with trio.fail_after(30):
        while connection.execute(_ASLEEP).fetchone() != (True,):
            await trio.sleep(0.005)


@contextmanager
def postgres_server(**options: str) -> Iterator[PostgresServer]:
    """Run a PostgreSQL until the block ends. Skips the test when it is not installed.

    `options` are those of `postgresql.conf`; without any, it does not wait for the disk.
    """
    chosen = os.environ.get("POSTGRES_PROGRAMS")
    found = shutil.which("initdb", path=chosen or os.pathsep.join([*_PLACES, SEARCH_PATH]))
    assert found or not chosen, f"POSTGRES_PROGRAMS={chosen} has no initdb"
    if found is None:
        unavailable("not installed: postgresql")
    with TemporaryDirectory() as folder:
        path = Path(folder)
        owned(path)
        server = PostgresServer(str(Path(found).parent), path, options or FAST)
        server.start()
        try:
            yield server
        finally:
            server.end()


def owned(*paths: Path) -> None:
    """Give these to the user who runs PostgreSQL where root may not."""
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        for path in paths:
            os.chown(path, user.pw_uid, user.pw_gid)


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def free_port() -> int:
    """One that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
