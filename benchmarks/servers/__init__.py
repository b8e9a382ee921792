"""The servers that are compared; each is started as a process of its own."""
