"""What endpoints of this package share: who may ask, what is refused, and how they answer."""
