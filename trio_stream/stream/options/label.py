"""The name that a stream is counted under, of one's choice."""

from __future__ import annotations

from ...checks import check_text, shown

__all__ = ["check_label"]

#: Characters. It is a name, and not a message.
_LONGEST = 100


def check_label(label: str | None) -> None:
    """What a stream's ``label`` may be: one line of text, not too long, or None."""
    check_text("label", label, or_none=True)
    if label is not None and not (label.isprintable() and 0 < len(label) <= _LONGEST):
        raise ValueError(
            f"label must be 1 to {_LONGEST} printable characters that many streams share, such as "
            f"a route's template, not {shown(label)}"
        )
