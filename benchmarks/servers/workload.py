"""What every Python server here sends: the same texts, the same clock, the same pace."""

from __future__ import annotations

import os
import time

TEXT = "a short string"
SYMBOLS = ("ADIDAS", "ALLIANZ", "BASF", "BAYER", "CONTI", "DAIMLER", "LINDE", "SIEMENS")
#: Seconds between two events of a client, or of the publisher.
INTERVAL = float(os.environ.get("INTERVAL", "0.05"))


def now() -> str:
    """The clock that the load generator reads as well: CLOCK_MONOTONIC, in nanoseconds."""
    return str(time.monotonic_ns())


def quote() -> str:
    """JSON of some 200 bytes that differs as prices do, with that clock in it; Go has the same."""
    at = time.monotonic_ns()
    noise = at * 0x9E3779B97F4A7C15 >> 20 & 0xFFFFFFFFFFF
    cents = 10_000 + noise % 500
    change = (noise >> 9) % 1000
    return (
        f'{{"t":{at},"symbol":"{SYMBOLS[noise >> 19 & 7]}","price":{cents / 100:.2f},'
        f'"bid":{(cents - 1) / 100:.2f},"ask":{(cents + 2) / 100:.2f},'
        f'"volume":{noise >> 22 & 0xFFFF},"change":{change / 100:.2f},"currency":"EUR",'
        f'"venue":"XETR","status":"continuous","seller":{noise >> 38 & 63}}}'
    )
