"""Followers who are sent the same, compressed: each event once for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import trio

from ...codec import EncodedEvent
from ...codec.groups import GroupCompressor, SharedEvent
from ...transport.base import ClientGone
from ...transport.offering import MOST_FRAMED, offer
from ..contract import Record
from .followers import Follower

__all__ = ["Crowd"]


@final
class Crowd:
    """The followers of the same topics and patterns whose streams are in the same coding.

    Args:
      coding: its name.

    Attributes:
      followers: in the order in which they came.
      last: the id of the last event that was compressed for them.
    """

    __slots__ = ("_compressor", "followers", "last")

    def __init__(self, coding: str) -> None:
        self._compressor = GroupCompressor(coding)
        self.followers: dict[Follower, None] = {}
        self.last: int = 0

    def add(self, follower: Follower) -> None:
        """It has had nothing of what the others had."""
        self.followers[follower] = None
        self._compressor.expect_others()

    def compress(self, event: EncodedEvent) -> SharedEvent:
        """What all are to be sent next."""
        return self._compressor.compress(event, trio.current_time())

    def write(
        self, turn: Sequence[Follower], run: Sequence[Record], event: SharedEvent
    ) -> tuple[list[Follower], int]:
        """Write these events to those who can read on, and take them now.

        Returns the others, and how many events were delivered.
        """
        first, last, count = run[0].id, run[-1].id, len(run)
        ready, senders, others = [], [], []
        framed = len(event.wire.data) <= MOST_FRAMED
        for follower in turn:
            if (
                framed
                and follower.seen < first
                and (send := follower.sink.express.shared_sender(event)) is not None
            ):
                ready.append(follower)
                senders.append(send)
            else:
                others.append(follower)
        delivered = 0
        if ready:
            offered = offer(senders, event.wire.frame)
            now = trio.current_time()
            for follower, left in zip(ready, offered, strict=True):
                if left < 0:
                    follower.sink.found_gone()
                    follower.end()
                else:
                    follower.sink.express.sent_shared(event, left, count, now)
                    follower.seen = last
                    delivered += count
        rest = []
        for follower in others:
            if follower.seen < first and self.write_to(follower, event, count):
                follower.seen = last
                delivered += count
            else:
                rest.append(follower)
        return rest, delivered

    def write_to(self, follower: Follower, event: SharedEvent, count: int) -> bool:
        """Write to one of them; False if it is to be sent the events by itself, or has gone."""
        try:
            if follower.sink.express.write_shared(event, count):
                return True
        except ClientGone:
            follower.sink.found_gone()
            follower.end()
        else:
            self._compressor.expect_others()
        return False
