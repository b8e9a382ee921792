"""Those at the head of their topics, and how a new event is handed to all of them."""
