"""Where one process is all there is: the log in memory, its leases, and what it stored once."""
