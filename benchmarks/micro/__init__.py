"""Micro-benchmarks of single pieces (codec, channel, writer), without a server."""
