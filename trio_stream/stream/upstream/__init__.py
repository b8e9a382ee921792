"""The responses of HTTP clients, as far as a stream passes them on."""
