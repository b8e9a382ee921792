"""The tests, and the applications that they serve in processes of their own.

In all of these a stream's `retry` and its pings are to the letter what was asked for, so that they
can be compared. What keeps clients apart by chance has tests of its own, which put it back: see
`by_chance` in conftest.py.
"""

from trio_stream.stream import apart

apart.chance = lambda: 0.0
