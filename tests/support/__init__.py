"""What the tests stand on: real servers, a real browser, and a watch over what is left."""
