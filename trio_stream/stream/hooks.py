"""Who is told what becomes of a stream, and under which name it is counted."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, fields
from typing import Any, Self

from ..checks import check_callable
from .label import check_label

__all__ = ["Telling"]


@dataclass(frozen=True, slots=True)
class Telling:
    """Those of a stream's options that say who is told of it, and as what."""

    on_end: Callable[[Any], None] | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        check_callable("on_end", self.on_end, "takes the stream", or_none=True)
        check_label(self.label)

    @classmethod
    def taken_from(cls, options: MutableMapping[str, Any]) -> Self:
        """What is given of these among all options: taken out, and checked."""
        names = [field.name for field in fields(cls) if field.name in options]
        return cls(**{name: options.pop(name) for name in names})
