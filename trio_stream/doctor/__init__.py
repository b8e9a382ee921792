"""The command ``trio-stream doctor``: what is wrong with an event stream, between here and there.

`watch` listens to one request's answer, `examine` asks as often as it takes; what they have seen
is an `Observation`, read as an event stream by `reading`. Each verdict is a pure function of that
(`answer`, `delays`, `between`, `content`, `ends`), and its complaints are those of `complaints`.
"""

from __future__ import annotations

from .command import add_doctor

__all__ = ["add_doctor"]
