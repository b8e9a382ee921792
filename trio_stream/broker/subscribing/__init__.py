"""A subscription: its place in the log, its events' way to it, and who is told of it."""
