"""What a process can tell of its streams, topics and event sources, in figures.

`trio_stream.prometheus` and `trio_stream.otel` tell it.
"""
