"""Checksums of what was put together, from those of its parts: CRC-32, as gzip has it."""

from __future__ import annotations

from functools import lru_cache

__all__ = ["appended"]

#: The polynomial, its bits from the least to the greatest power, as zlib keeps them.
_POLYNOMIAL = 0xEDB88320


def appended(first: int, second: int, size: int) -> int:
    """The CRC-32 of bytes behind which there are ``size`` others, from that of either."""
    return _times(first, _zeros(size)) ^ second


@lru_cache(maxsize=1024)  # many clients were sent as much as each other
def _zeros(size: int) -> int:
    """What so many zero bytes more do to a remainder: x to the power of their bits."""
    result, square = 1 << 31, 1 << 23  # 1, and x to the power of 8
    while size:
        if size & 1:
            result = _times(result, square)
        square = _times(square, square)
        size >>= 1
    return result


def _times(one: int, other: int) -> int:
    """The product of two remainders."""
    product = 0
    for bit in range(31, -1, -1):
        if one >> bit & 1:
            product ^= other
        other = other >> 1 ^ (_POLYNOMIAL if other & 1 else 0)
    return product
