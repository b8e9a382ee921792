"""By what name a process is spoken of."""

from __future__ import annotations

import os
import secrets
import socket

__all__ = ["process_name"]

#: Containers begin anew with the same name and the same pid.
_RUN = secrets.token_hex(2)


def process_name() -> str:
    """``host:pid:run``, of no other process that is or was."""
    return f"{socket.gethostname()}:{os.getpid()}:{_RUN}"
