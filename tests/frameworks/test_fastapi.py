"""FastAPI in process: what its documentation says, what it says to a bare Stream, and the page."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import trio
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel

from tests.frameworks.apps import streams
from trio_stream import Stream
from trio_stream.frameworks.fastapi import event_stream
from trio_stream.frameworks.starlette import StreamResponse

PAGE = Path(__file__).parents[2] / "docs/fastapi.md"
WORDS = "return trio_stream.frameworks.starlette.StreamResponse"


class Part(BaseModel):
    name: str


class Tree(BaseModel):
    part: Part
    children: list[Tree] = []


async def items() -> AsyncIterator[Part]:
    yield Part(name="a")


def content_of(app: FastAPI, path: str = "/a", status: str = "200") -> Any:
    with TestClient(app, backend="trio") as client:
        assert client.get("/docs").status_code == 200
        schema = client.get("/openapi.json").json()
    return schema["paths"][path]["get"]["responses"][status]["content"]


def test_a_response_class_is_documented_as_an_event_stream() -> None:
    app = FastAPI()

    @app.get("/a", response_class=StreamResponse)
    async def a() -> StreamResponse:
        return StreamResponse(Stream(items()))

    @app.get("/b", response_class=StreamResponse, status_code=201)
    async def b() -> StreamResponse:
        return StreamResponse(Stream(items()), status_code=201)

    assert content_of(app) == {"text/event-stream": {"schema": {"type": "string"}}}
    assert "text/event-stream" in content_of(app, "/b", "201")
    with TestClient(app, backend="trio") as client:
        answer = client.get("/a")
        assert answer.status_code == 200
        assert answer.text == 'retry: 3000\ndata: {"name":"a"}\n\n'
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert client.get("/b").status_code == 201


def test_the_type_of_the_items_is_in_the_schema_whole() -> None:
    app = FastAPI()

    @app.get("/a", response_class=StreamResponse, responses=event_stream(Tree))
    async def a() -> StreamResponse:
        return StreamResponse(Stream(items()))

    event = content_of(app)["text/event-stream"]["itemSchema"]
    assert event["required"] == ["data"]
    assert set(event["properties"]) == {"data", "event", "id", "retry"}
    data = event["properties"]["data"]
    assert (data["type"], data["contentMediaType"]) == ("string", "application/json")
    tree = data["contentSchema"]
    assert "$ref" not in str(tree)
    assert tree["properties"]["part"]["properties"] == {"name": {"title": "Name", "type": "string"}}
    assert tree["properties"]["children"]["items"] == {}  # itself again: anything
    text = event_stream()[200]["content"]["text/event-stream"]["itemSchema"]
    assert text["properties"]["data"] == {"type": "string"}
    assert "required" not in text
    many = event_stream(list[Part] | int)[200]["content"]["text/event-stream"]["itemSchema"]
    assert many["properties"]["data"]["contentSchema"]["anyOf"][1] == {"type": "integer"}


@pytest.mark.parametrize("response_class", [None, StreamResponse])
def test_a_bare_stream_is_refused_with_what_to_write(response_class: Any) -> None:
    app = FastAPI()
    options = {"response_class": response_class} if response_class else {}

    @app.get("/a", **options)
    async def a():  # type: ignore[no-untyped-def]
        return Stream(items())

    with TestClient(app, backend="trio") as client, pytest.raises(ValueError, match=WORDS):
        client.get("/a")


def test_so_is_one_as_annotation() -> None:
    app = FastAPI()
    with pytest.raises(TypeError, match=rf"{WORDS}\(stream\), and annotate"):

        @app.get("/a")
        async def a() -> Stream:
            return Stream(items())


async def test_a_stream_is_no_iterable() -> None:
    async with Stream(items()) as stream:
        with pytest.raises(TypeError, match=r"async for chunk in stream\.value"):
            list(stream)  # type: ignore[call-overload]
        assert [chunk async for chunk in stream.value]


def test_a_status_is_the_streams_unless_another_is_given() -> None:
    app = FastAPI()

    @app.get("/own")
    async def own() -> StreamResponse:
        return StreamResponse(Stream(items(), status=201))

    @app.get("/other")
    async def other() -> StreamResponse:
        response = StreamResponse(Stream(items()), status_code=202)
        assert response.status_code == 202
        return response

    @app.get("/late")
    async def late() -> StreamResponse:
        response = StreamResponse(Stream(items(), status=201))
        response.status_code = 203
        return response

    @app.get("/failing")
    async def failing() -> StreamResponse:
        return StreamResponse(streams.upstream_down(), status_code=201)

    with TestClient(app, backend="trio") as client:
        paths = ["/own", "/other", "/late", "/failing"]
        assert [client.get(path).status_code for path in paths] == [201, 202, 203, 502]
    for status in (204, 304, 199, True, "201"):
        with pytest.raises((TypeError, ValueError), match="status"):
            StreamResponse(Stream(items()), status_code=status)  # type: ignore[arg-type]


seen: list[str] = []


async def session() -> AsyncIterator[str]:
    seen.append("open")
    try:
        yield "session"
    except ZeroDivisionError:
        seen.append("told")
        raise
    finally:
        await trio.sleep(0)
        seen.append("closed")


def test_a_dependency_with_yield_is_open_until_the_stream_has_ended() -> None:
    app = FastAPI()
    seen.clear()

    @app.get("/{kind}")
    async def values(kind: str, it: Annotated[str, Depends(session)]) -> StreamResponse:
        async def produce() -> AsyncIterator[str]:
            yield it
            seen.append("streamed")
            if kind == "failing":
                raise ZeroDivisionError

        return StreamResponse(Stream(produce()))

    with TestClient(app, backend="trio") as client:
        assert "data: session\n" in client.get("/whole").text
        assert seen == ["open", "streamed", "closed"]
        seen.clear()
        with pytest.raises(ZeroDivisionError):
            client.get("/failing")
        assert seen == ["open", "streamed", "told", "closed"]


def test_the_programs_of_the_page_run_as_they_stand(tmp_path: Path) -> None:
    blocks = re.findall(
        r"^```python\n(# (\w+\.py).*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE
    )
    assert [name for _, name in blocks] == ["shop.py", "test_shop.py"]
    for text, name in blocks:
        (tmp_path / name).write_text(text)
    (tmp_path / "pytest.ini").write_text("[pytest]\ntrio_mode = true\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shop.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
