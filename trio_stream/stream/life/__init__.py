"""A stream's life: let in, served, produced, and asked again."""
