import collections
import dataclasses
import datetime
import decimal
import enum
import gc
import json
import math
import types
import uuid
from collections.abc import AsyncIterator
from typing import Any

import attrs
import msgspec
import pydantic
import pytest

from trio_stream.codec import encode_sse, to_json


@dataclasses.dataclass
class Point:
    x: int
    y: float | None = None


@attrs.define
class Box:
    inner: Point


class Row(msgspec.Struct):
    a: int


class Colour(enum.Enum):
    RED = "red"


class Model(pydantic.BaseModel):
    value: float | None = pydantic.Field(default=None, alias="theValue")


class Strings(pydantic.BaseModel, ser_json_inf_nan="strings"):
    value: float


class Text(str):
    __slots__ = ()

    @staticmethod
    def plain(value: Any) -> Any:
        return str.__str__(value) if isinstance(value, Text) else dict(value)


class Int(int):
    pass


class Float(float):
    pass


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ("a\nb\r\u2028", r'"a\nb\r\u2028"'),
        ([1, 2.5, (3,)], "[1,2.5,[3]]"),
        ({"a": {1: "b"}}, '{"a":{"1":"b"}}'),
        (10**30, "1" + "0" * 30),
        ({"a": None, "b": 10**30}, '{"a":null,"b":1' + "0" * 30 + "}"),
        ({7}, "[7]"),
        (Point(1), '{"x":1,"y":null}'),
        (Box(Point(1, 2.5)), '{"inner":{"x":1,"y":2.5}}'),
        (Row(1), '{"a":1}'),
        (Colour.RED, '"red"'),
        (datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), '"2026-01-02T00:00:00Z"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (decimal.Decimal("1.10"), '"1.10"'),
        ({"raw": b"ab"}, '{"raw":"YWI="}'),
        (types.MappingProxyType({"a": 1}), '{"a":1}'),
        (collections.ChainMap({"a": Row(1)}), '{"a":{"a":1}}'),
        ([Text("a"), Int(1), Float(0.5)], '["a",1,0.5]'),
        ({Text("a"): 1, Int(2): 2}, '{"a":1,"2":2}'),
        (Model(theValue=1.5), '{"theValue":1.5}'),
        ({"models": [Model()]}, '{"models":[{"theValue":null}]}'),
    ],
)
def test_value_as_json(value: Any, text: str) -> None:
    assert to_json(value).decode() == text


@pytest.mark.parametrize(
    "value",
    [
        "a\u2028b",
        "a\u2029b",
        "a\x85b",
        "\u2028\u2028\u2029\x85",
        "\\\u2028",
        {"\u2029": ["\x85", "\u2028"]},
        ["in “quotes”, with é and è and 100 \xa2", "\x85"],
        Text("a\u2028b"),
        collections.ChainMap({"a": "\x85"}),
        {"raw": msgspec.Raw('"a\u2028b"'.encode())},
        {"raw": msgspec.Raw('{\n"a":\n"\u2029"\n}'.encode())},
    ],
)
def test_what_others_take_for_the_end_of_a_line_is_escaped(value: Any) -> None:
    encoded = to_json(value)
    assert len(encoded.decode().splitlines()) == 1
    assert json.loads(encoded) == json.loads(msgspec.json.encode(value, enc_hook=Text.plain))


@pytest.mark.parametrize(
    "text", ["“it” \u2019 é è © …", "\u2027\u202a\x84\x86", "流式", "Â\u0145", "🙂"]
)
def test_what_only_looks_like_it_is_left_as_it_is(text: str) -> None:
    assert to_json(text) == f'"{text}"'.encode()


def test_a_models_own_json_is_escaped_too() -> None:
    class Said(pydantic.BaseModel):
        text: str

    assert to_json([Said(text="a\u2028b\x85")]) == rb'[{"text":"a\u2028b\u0085"}]'


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        [-math.inf],
        {"a": (1, {"b": math.nan})},
        Point(1, math.inf),
        Box(Point(1, math.nan)),
        {1.0, math.inf},
        types.MappingProxyType({"a": math.nan}),
        [Float("nan"), None],
        {"a": math.nan, "b": 10**30},
    ],
)
def test_nan_and_infinity_are_refused_and_not_lost(value: Any) -> None:
    with pytest.raises(ValueError, match="no NaN and no infinity"):
        to_json(value)


@pytest.mark.parametrize(
    "value",
    [
        {"null": "null", "a": 1.5},
        [None, b"\xcb\x7f\xf0\0\0\0\0\0\0"],
        [None, 0xCB7FF0 << 8],
        [None, datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)],
        [None, {math.nan: 1}],
        [None, msgspec.Raw(b"[1]")],
        [None, decimal.Decimal("NaN")],
    ],
)
def test_null_beside_what_is_like_a_nan_is_fine(value: Any) -> None:
    assert b"null" in to_json(value)


def test_pydantic_model_decides_about_its_own_nan() -> None:
    assert to_json(Model(theValue=math.nan)) == b'{"theValue":null}'
    assert to_json([None, Strings(value=math.nan)]) == b'[null,{"value":"NaN"}]'


def test_what_json_has_no_form_for_is_named() -> None:
    class Odd:
        pass

    with pytest.raises(TypeError, match=r"Odd has no JSON form; turn it into a dict"):
        to_json({"a": [Odd()]})
    with pytest.raises(TypeError, match=r"tuple has no JSON form; .* \(a key: into a str\)"):
        to_json({(1, 2): 3})
    with pytest.raises(TypeError, match="bool has no JSON form"):
        to_json({True: 1})


async def items() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize("several", [range(3), iter([1]), {1: 2}.values(), map(str, [1]), items()])
def test_what_gives_one_after_another_is_no_value(several: Any) -> None:
    for value in several, {"a": [several]}:
        with pytest.raises(TypeError, match="turn it into a list first, or give it to send_many"):
            to_json(value)


async def answer() -> int:
    return 5


class Answer:
    def __await__(self) -> Any:
        yield


def test_what_was_not_awaited_is_told_as_that(recwarn: pytest.WarningsRecorder) -> None:
    for value in (answer(), Answer(), {"a": [answer()]}):
        with pytest.raises(TypeError, match="await it, and send what comes of it"):
            to_json(value)
    gc.collect()
    assert not recwarn.list  # of a coroutine that was never awaited


def test_nesting_without_end_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(ValueError, match="contains itself"):
        to_json(circle)


@pytest.mark.parametrize("value", ["\ud800", {"\udfff": 1}, ["ok", "a\ud83d"]])
def test_half_a_surrogate_pair_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="half of a surrogate pair"):
        to_json(value)


def test_json_that_came_in_many_lines_goes_out_in_one() -> None:
    class Pretty:
        def model_dump_json(self, *, by_alias: bool) -> str:
            assert by_alias
            return json.dumps({"a": ["x\r\ny"]}, indent=2)

    for value in (Pretty(), msgspec.Raw(b'{\r\n"a": [\n\n"x\\r\\ny"\r]\n}')):
        assert to_json(value) == b'{"a":["x\\r\\ny"]}'
        assert encode_sse(value) == b'data: {"a":["x\\r\\ny"]}\n\n'


@pytest.mark.parametrize("end", ["\n", "\r"])
def test_either_line_end_alone_is_found(end: str) -> None:
    assert to_json(msgspec.Raw(f"[1,{end}2]".encode())) == b"[1,2]"


def test_lines_that_are_no_json_cannot_become_fields() -> None:
    with pytest.raises(ValueError, match="malformed"):
        to_json(msgspec.Raw(b'"a\n\ndata: forged'))
