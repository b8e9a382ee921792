"""What is compressed can be read at once by decoders of other people's, whatever its course."""

import gzip
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_stream.codec.compressor import available_codings, open_compressor
from trio_stream.codec.content_coding import open_coding, zstd_module

zstd = zstd_module()

#: What is written, or None for a rest.
WRITES = st.lists(st.none() | st.binary(max_size=300) | st.just(b"data: the same\n\n" * 50))


def gzip_reader() -> Callable[[bytes], bytes]:
    step = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    return step.decompress


def zstd_reader() -> Callable[[bytes], bytes]:
    step = zstd.ZstdDecompressor()

    def read(data: bytes) -> bytes:
        nonlocal step
        got: bytes = b""
        while data:
            if step.eof:
                step = zstd.ZstdDecompressor()
            got += step.decompress(data)
            data = step.unused_data if step.eof else b""
        return got

    return read


READERS = {"gzip": gzip_reader, "zstd": zstd_reader}


def whole(name: str, body: bytes) -> bytes:
    """The body, undone by what wants to see its end."""
    result: bytes = gzip.decompress(body) if name == "gzip" else zstd.decompress(body)
    return result


def test_there_are_both() -> None:
    assert available_codings() == ("gzip", "zstd")


@pytest.mark.parametrize("name", ["gzip", "zstd"])
@given(writes=WRITES)
def test_each_write_is_read_before_the_next(name: str, writes: list[bytes | None]) -> None:
    compressor, read, ours = open_compressor(name), READERS[name](), open_coding(name)
    body = plain = b""
    for data in writes:
        if data is None:
            compressor.rest()
            continue
        made = compressor.compress(data)
        body += made
        plain += data
        assert read(made) == data
        assert b"".join(ours.undo(made)) == data
    body += compressor.end()
    assert whole(name, body) == plain


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_what_is_like_what_went_before_is_short(name: str) -> None:
    compressor = open_compressor(name)
    event = b"data: " + bytes(range(32, 127)) * 3 + b"\n\n"
    first, second = compressor.compress(event), compressor.compress(event)
    assert len(second) < len(first) / 3
    compressor.rest()
    assert len(compressor.compress(event)) > len(second) * 2
