"""What is answered besides events: to whom, with which headers, and instead of a stream."""
