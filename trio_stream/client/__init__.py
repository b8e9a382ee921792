"""The client: `EventSource` connects, decodes and reconnects."""
