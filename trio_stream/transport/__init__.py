"""Where a stream's bytes leave."""
