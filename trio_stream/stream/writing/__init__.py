"""A value's way: from a producer through encoder and channel to the transport."""
