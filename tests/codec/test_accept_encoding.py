"""Which coding a client is answered in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_stream.codec.accept_encoding import choose_coding

BOTH = ("gzip", "zstd")


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("gzip, deflate, br, zstd", "gzip"),
        ("deflate, br, zstd", "zstd"),
        ("zstd;q=1, gzip;q=0.5", "zstd"),
        ("gzip;q=0.5, zstd; Q=0.501", "zstd"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("*", "gzip"),
        ("*, gzip;q=0", "zstd"),
        ("gzip;q=0, *;q=0.1", "zstd"),
        ("gzip;q=1.000", "gzip"),
        ("identity;q=0, gzip;q=0.001", "gzip"),
        ("identity, gzip;q=0.5", None),
        ("identity;q=0.5, gzip", "gzip"),
        ("identity", None),
        ("br", None),
        ("", None),
        ("gzip;q=0", None),
        ("*;q=0", None),
        ("identity;q=0", None),
        ("gzip;q=2", None),
        ("gzip;q=yes, zstd", "zstd"),
        ("gzip;level=9", None),
        (";q=1,,;, ,gzip", "gzip"),
        ("gzip;q=0, gzip", None),
    ],
)
def test_the_clients_favourite_and_of_equals_the_servers(accepted: str, chosen: str | None) -> None:
    assert choose_coding([accepted], BOTH) == chosen


def test_several_headers_are_one() -> None:
    assert choose_coding(["br", "zstd"], BOTH) == "zstd"


def test_nothing_is_chosen_of_nothing() -> None:
    assert choose_coding([], BOTH) is None
    assert choose_coding(["gzip"], ()) is None


def test_of_a_megabyte_only_the_beginning_is_read() -> None:
    assert choose_coding(["zstd," + "x," * 2**19 + "gzip"], BOTH) == "zstd"
    assert choose_coding(["x," * 2**19 + "gzip"], BOTH) is None


@given(st.lists(st.text(max_size=200), max_size=3), st.permutations(BOTH))
def test_whatever_comes_it_is_one_of_those_offered(accepted: list[str], offered: list[str]) -> None:
    assert choose_coding(accepted, offered) in (*offered, None)


@given(
    st.dictionaries(
        st.sampled_from(["gzip", "zstd", "identity", "*", "br"]),
        st.integers(0, 1000).map(lambda thousandths: thousandths / 1000),
    )
)
def test_it_is_never_one_that_is_refused_or_liked_less(weights: dict[str, float]) -> None:
    header = ", ".join(f"{name};q={weight:.3f}" for name, weight in weights.items())
    chosen = choose_coding([header], BOTH)
    liked = {name: weights.get(name, weights.get("*", 0.0)) for name in BOTH}
    if chosen is None:
        assert not any(
            weight > 0 and weight >= weights.get("identity", 0) for weight in liked.values()
        )
    else:
        assert liked[chosen] == max(liked.values()) > 0
        assert liked[chosen] >= weights.get("identity", 0)
