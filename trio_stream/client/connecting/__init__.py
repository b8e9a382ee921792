"""Connecting, and when to come back: one attempt, and the many that an event source makes."""
