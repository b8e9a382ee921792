"""What belongs to the name of somebody who is present: a small value, as JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from ...checks import naming
from ...codec.jsonable import to_json
from .engine import Member

__all__ = ["decoded", "value_of"]

#: Bytes of JSON. It is told to all with each change, and is in memory for each name.
_LONGEST = 1024


def value_of(data: Any) -> str:
    """A value as engines keep it.

    Raises:
      TypeError, ValueError: it has no JSON, or too much.
    """
    with naming("presence data"):
        text = to_json(data)
        if len(text) > _LONGEST:
            raise ValueError(f"at most {_LONGEST} bytes of JSON, not {len(text)}")
    return text.decode()


def decoded(member: Member) -> Member:
    """As users see it."""
    data = None if member.data is None else msgspec.json.decode(member.data)
    return Member(member.name, member.connections, data)
