"""On which topics somebody is present, and of which of them that is told."""

from __future__ import annotations

from collections.abc import Sequence

from ..contract.topics import PRESENCE, Selection

__all__ = ["is_untold", "present_on"]


def present_on(selection: Selection) -> Sequence[str]:
    """The topics that a subscription is present on: not those it only matches, nor the news."""
    return [name for name in selection.names if not name.startswith(PRESENCE)]


def is_untold(topic: str) -> bool:
    """Whether there are no news of it: the watchers of a resumable producer are only counted."""
    return topic.startswith("$")
