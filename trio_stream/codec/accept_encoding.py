"""Which content coding a client is answered in, by its ``Accept-Encoding`` (RFC 9110, 12.5.3)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

__all__ = ["choose_coding"]

#: Characters of the header that are read: who sends more is answered by what they say.
_READ = 4096

_WEIGHT = re.compile(r"[qQ][ \t]*=[ \t]*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")

#: Names that stand for the same coding, says RFC 9110, 8.4.1.3.
_ALIASES = {"x-gzip": "gzip"}


def choose_coding(accepted: Iterable[str], offered: Sequence[str]) -> str | None:
    """The first of those offered that the client likes best; None is to send it as it is.

    Args:
      accepted: the request's ``Accept-Encoding`` headers; without one nothing is compressed, though
        the client might take it.
      offered: names of codings in lower case, the server's favourite first.
    """
    weights = _weights(",".join(accepted)[:_READ])
    others = weights.get("*", 0.0)
    liked = {name: weights.get(name, others) for name in offered}
    # Only who names it can like it better: "identity" is always there.
    least = weights.get("identity", 0.0)
    best = max(liked.values(), default=0.0)
    if best <= 0 or best < least:
        return None
    return next(name for name in offered if liked[name] == best)


def _weights(header: str) -> dict[str, float]:
    """What each name weighs, between 0 and 1; what is nonsense is passed over."""
    weights: dict[str, float] = {}
    for part in header.split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        name = _ALIASES.get(name.lower(), name.lower())
        if name and name not in weights:
            weight = _weight(parameters)
            if weight is not None:
                weights[name] = weight
    return weights


def _weight(parameters: Sequence[str]) -> float | None:
    if not parameters:
        return 1.0
    match = _WEIGHT.fullmatch(parameters[0])
    return None if match is None else float(match[1])
