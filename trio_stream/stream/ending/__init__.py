"""How a stream ends, by itself, by its clocks or by its server, and who hears of that."""
