"""Who is there: members of topics, and the visits that make them."""
