"""The command: examines, judges, and tells."""

from __future__ import annotations

import sys

from ..client.connecting.http_client import make_client
from ..client.terminal.interruption import run_until_interrupted
from ..client.terminal.paper import open_paper
from ..client.terminal.wiretap import Wiretap
from ..errors import TrioStreamError
from .examine import Examiner, Options
from .observation import Examination
from .report import as_json, write
from .verdicts import judge

__all__ = ["run"]


def run(options: Options) -> int:
    """Examine a stream and tell what is wrong; the exit code: 0, or 1 if something is or none is.

    Raises:
      KeyboardInterrupt: Ctrl-C, once all is closed, and told what was seen until then.
    """
    notes = open_paper(sys.stderr)
    examiners: list[Examiner] = []

    def note(sign: str, text: str) -> None:
        notes.write((f"{sign} {text}", "yellow" if sign == "▲" else "dim"))

    async def act() -> None:
        async with make_client(options.url, verify=options.verify, http2=True) as client:
            Wiretap(note, verbose=options.verbose).listen_to(client)
            note("…", f"listening for {options.seconds:g} s; Ctrl-C ends it")
            examiners.append(Examiner(options, client))
            await examiners[0].run()

    try:
        interrupted = run_until_interrupted(act)
    except (TrioStreamError, ValueError) as exc:
        notes.write((f"✗ {exc}", "bold red"))
        return 1
    code = 0
    if not interrupted or (examiners and examiners[0].seen().main.answered is not None):
        code = _tell(examiners[0].seen(), options)
    if interrupted:
        raise KeyboardInterrupt
    return code


def _tell(seen: Examination, options: Options) -> int:
    findings = judge(seen)
    if options.view == "json":
        sys.stdout.write(as_json(seen, findings) + "\n")
    else:
        write(findings, open_paper(sys.stdout))
    wrong = any(finding.level == "wrong" for finding in findings)
    return int(wrong or seen.main.status == 204)
