"""The state of a stream, and the channel, clocks and tasks that belong to it."""
