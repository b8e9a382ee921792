"""Where the file of a ``sqlite://`` broker is, and whether it still is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import final

from ...errors import BrokerStorageError

__all__ = ["Place"]


@final
class Place:
    """The names of a file that is open, and of the ``-wal`` beside it.

    SQLite does not look whether they still lead there: to who has it open, a file that was deleted
    is a file like any other, and gone when it is closed. Any thread may.
    """

    def __init__(self, path: str) -> None:
        # Absolute, as the process may change its folder.
        names = str(Path(path).absolute()), f"{Path(path).resolve()}-wal"
        self._files = {name: _identity(name) for name in names}

    def check(self) -> None:
        """Look whether what is written to the file can be found again.

        Raises:
          BrokerStorageError: it cannot.
        """
        for name, identity in self._files.items():
            if (found := _identity(name)) != identity:
                what = "replaced" if found else "deleted or moved"
                raise BrokerStorageError(
                    f"{name} has been {what} while this broker has it open: nothing more is stored "
                    "there, where nobody would find it. Put it back, or start with what is there"
                )


def _identity(name: str) -> tuple[int, int] | None:
    """What tells a file from another of its name, or None: there is none, or none to be seen."""
    try:
        found = os.stat(name)  # noqa: PTH116  # twice in each transaction: `Path` doubles it
    except OSError:
        return None
    return found.st_dev, found.st_ino
