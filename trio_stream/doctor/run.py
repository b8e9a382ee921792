"""The command: examines, judges, and tells."""

from __future__ import annotations

import logging
import sys

import trio

from ..client.http_client import make_client
from ..client.interruption import until_interrupted
from ..client.paper import open_paper
from ..client.wiretap import Wiretap
from ..errors import TrioStreamError
from .examine import Options, examine
from .observation import Examination
from .report import as_json, write
from .verdicts import judge

__all__ = ["run"]


def run(options: Options) -> int:
    """Examine a stream and tell what is wrong; the exit code: 0, or 1 if something is.

    Raises:
      KeyboardInterrupt: Ctrl-C, once all is closed.
    """
    # The screen says what the log would say.
    logging.getLogger("trio_stream").addHandler(logging.NullHandler())
    notes = open_paper(sys.stderr)
    seen: list[Examination] = []

    def note(sign: str, text: str) -> None:
        notes.write((f"{sign} {text}", "yellow" if sign == "▲" else "dim"))

    async def act() -> None:
        async with make_client(options.url, verify=options.verify, http2=True) as client:
            Wiretap(note, verbose=options.verbose).listen_to(client)
            note("…", f"listening for {options.seconds:g} s; Ctrl-C ends it")
            seen.append(await examine(options, client))

    try:
        if trio.run(until_interrupted, act):
            raise KeyboardInterrupt
    except (TrioStreamError, ValueError) as exc:
        notes.write((f"✗ {exc}", "bold red"))
        return 1
    findings = judge(seen[0])
    if options.view == "json":
        sys.stdout.write(as_json(seen[0], findings) + "\n")
    else:
        write(findings, open_paper(sys.stdout))
    return int(any(finding.level == "wrong" for finding in findings))
