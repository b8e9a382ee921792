"""Servers side by side, one core each: `python -m benchmarks`."""
