"""The workers of one service, each of which can tell the metrics of all.

Of the processes that share a port, any may be asked. So each has a socket beside those of the
others, in a directory, and is told apart by a number: the smallest that nobody has.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import final

import trio
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

__all__ = ["Workers", "told_apart"]

log: logging.Logger = logging.getLogger("trio_stream")

#: Seconds that another worker has to answer. It is one thread, and no event loop, that does.
_PATIENCE = 3.0


@final
class Workers:
    """This process among the workers of its service.

    Args:
      directory: theirs alone.
      tell: makes the text with this one's metrics, in any thread.
    """

    def __init__(self, directory: Path, tell: Callable[[], bytes]) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if directory.stat().st_mode & stat.S_IWOTH:
            raise ValueError(
                f"workers={str(directory)!r} is a directory that anybody can write to, and so tell "
                "metrics as one of the workers: use one of this service alone"
            )
        self._directory = directory
        self._tell = tell
        self.number: int = self._claim()
        address = directory / f"{self.number}.sock"
        address.unlink(missing_ok=True)  # of one who had the number before
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(address))
        sock.listen(16)
        name = "trio_stream metrics"
        threading.Thread(target=self._serve, args=[sock], name=name, daemon=True).start()

    def _claim(self) -> int:
        number = 0
        while True:
            # Held until this process ends, however it does.
            self._held = (self._directory / f"{number}.lock").open("wb")
            with suppress(BlockingIOError):
                fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return number
            self._held.close()
            number += 1

    def _serve(self, sock: socket.socket) -> None:
        while True:
            connection, _ = sock.accept()
            with closing(connection), suppress(OSError):
                connection.settimeout(_PATIENCE)
                try:
                    connection.sendall(self._tell())
                except Exception:  # a collector of the user's may raise anything
                    log.exception(
                        "the metrics of worker %(worker)d could not be collected",
                        {"worker": self.number},
                    )

    async def ask_all(self) -> dict[int, bytes]:
        """The texts of all workers that answer, by their numbers."""
        texts: dict[int, bytes] = {}

        async def ask(path: Path) -> None:
            text = await _read(path)
            if text:
                texts[int(path.stem)] = text

        async with trio.open_nursery() as nursery:
            for path in self._directory.glob("*.sock"):
                if path.stem.isdecimal() and int(path.stem) != self.number:
                    nursery.start_soon(ask, path)
            texts[self.number] = self._tell()
        return dict(sorted(texts.items()))


async def _read(path: Path) -> bytes:
    """What the worker there says; nothing if it has ended."""
    text = b""
    with suppress(OSError), trio.move_on_after(_PATIENCE) as patience:
        stream = await trio.open_unix_socket(os.fspath(path))
        async with stream:
            with suppress(trio.BrokenResourceError):
                while part := await stream.receive_some(2**16):
                    text += part
            return text
    if patience.cancelled_caught:
        log.warning(
            "worker %(worker)s has not told its metrics within %(timeout)g s",
            {"worker": path.stem, "timeout": _PATIENCE},
        )
    return b""


def told_apart(texts: dict[int, bytes]) -> Iterable[Metric]:
    """The metrics of all, each sample with the number of its worker."""
    merged: dict[str, Metric] = {}
    for number, text in texts.items():
        for family in text_string_to_metric_families(text.decode()):
            whole = merged.get(family.name)
            if whole is None:
                whole = merged[family.name] = Metric(family.name, family.documentation, family.type)
            for sample in family.samples:
                labels = {"worker": str(number), **sample.labels}
                whole.samples.append(sample._replace(labels=labels))
    return merged.values()
