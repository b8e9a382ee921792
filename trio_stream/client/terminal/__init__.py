"""What the commands share that show a server's events in a terminal, and `tail` itself."""
