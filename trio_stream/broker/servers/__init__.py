"""What engines need whose log is on a server: a link that comes back, batches, troubles said."""
