"""How the doctor tells what it found: for people, or as JSON for other programs."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from ..client.terminal.paper import Paper
from ..client.terminal.wiretap import shown_header
from .complaints import Finding
from .observation import Examination, Observation
from .times import lateness

__all__ = ["as_json", "write"]

_SIGNS = {
    "fine": ("✓", "green"),
    "unknown": ("○", "dim"),
    "advice": ("▲", "yellow"),
    "wrong": ("✗", "bold red"),
}

#: Columns of the sign and the subject, where there is room for them.
_INDENT = 16

#: Columns below which what is seen goes below its subject.
_NARROW = 60


def write(findings: Sequence[Finding], paper: Paper) -> None:
    """A line or more for each finding, what to do for those that need it, and a summary."""
    for finding in findings:
        _write(finding, paper)
    count = Counter(finding.level for finding in findings)
    told = [f"{count[level]} {level}" for level in ("wrong", "advice", "unknown") if count[level]]
    if not count["wrong"]:
        told.insert(0, "nothing wrong")
    paper.write((", ".join(told), "bold red" if count["wrong"] else "bold"))


def _write(finding: Finding, paper: Paper) -> None:
    sign, style = _SIGNS[finding.level]
    subject = finding.subject.ljust(_INDENT - 2)
    seen = finding.seen
    if finding.complaint is not None:
        seen = f"{finding.complaint.code}: {seen}"
    indent = _INDENT if paper.width >= _NARROW else 2
    if indent == _INDENT:
        first, *rest = _lines(seen, paper, indent)
        paper.write((f"{sign} {subject}", style), (first, ""))
    else:
        paper.write((f"{sign} {finding.subject}", style))
        rest = _lines(seen, paper, indent)
    for line in rest:
        paper.write((" " * indent + line, ""))
    if finding.complaint is not None:
        for number, line in enumerate(_lines(finding.complaint.todo, paper, indent + 2)):
            arrow = "→ " if not number else "  "
            paper.write((" " * indent + arrow + line, "dim"))


def _lines(text: str, paper: Paper, indent: int) -> list[str]:
    width = max(20, paper.width - indent - 1)
    return textwrap.wrap(text, width, break_on_hyphens=False) or [""]


def as_json(seen: Examination, findings: Sequence[Finding]) -> str:
    """One JSON object: what is wrong, what to do, and what was measured; no payload, no secret."""
    report: dict[str, Any] = {
        "url": seen.main.url,
        "wrong": sum(finding.level == "wrong" for finding in findings),
        "findings": [
            {
                "subject": finding.subject,
                "level": finding.level,
                "code": finding.complaint and finding.complaint.code,
                "seen": finding.seen,
                "todo": finding.complaint and finding.complaint.todo,
            }
            for finding in findings
        ],
    }
    for name in ("main", "plain", "again", "beside", "resumed"):
        observation: Observation | None = getattr(seen, name)
        if observation is not None:
            report[name] = _measured(observation, seen.main.started)
    return msgspec.json.format(msgspec.json.encode(report).decode(), indent=2)


def _measured(seen: Observation, start: float) -> dict[str, Any]:
    late = lateness(seen)
    return {
        "url": seen.url,
        "sent_after": _rounded(seen.started - start),
        "status": seen.status or None,
        "http_version": seen.http_version or None,
        "headers": {name: shown_header(name, seen.header(name)) for name, _ in seen.headers},
        "head_after": _rounded(seen.answered),
        "first_byte_after": _rounded(seen.arrivals[0].at) if seen.arrivals else None,
        "arrivals": [
            {"at": _rounded(arrival.at), "bytes": arrival.size, "uncompressed": len(arrival.data)}
            for arrival in seen.arrivals
        ],
        "events": [
            {"at": _rounded(timed.at), "event": timed.event.event, "id": timed.event.id}
            for timed in seen.reading.events
        ],
        "ages": None if late is None else {late.field: [_rounded(age) for age in late.ages]},
        "comments": [_rounded(at) for at, _ in seen.reading.comments],
        "end": seen.end,
        "ended_after": _rounded(seen.ended),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
