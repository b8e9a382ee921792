"""What a stream may be told, each checked where it is given."""
