"""The first bytes of a stream, before any event."""

from __future__ import annotations

from ...codec import encode, encode_retry
from ..apart import own_retry
from ..core.state import StreamState

__all__ = ["primer_of"]


def primer_of(state: StreamState, *, default_retry: bool) -> bytes:
    """Its `retry:`, and the id that its client is told, in a format that can say them.

    Args:
      default_retry: whether it says the browsers' own, too, where none was chosen.
    """
    if not state.options.format.has_fields:
        return b""
    state.primed = True  # from now on a change of `retry` goes with the next event
    primer = b""
    if state.retry is not False and (default_retry or state.retry is not None):
        primer = encode_retry(own_retry(state.retry, state.options.timing.retry_jitter))
    if state.options.tell_id == "event":
        primer += encode({"id": state.id}, event="stream").data
    return primer
