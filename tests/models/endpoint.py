"""A local server that answers as the APIs of language models do, each in its own dialect.

What is asked for as the model says how it goes: ``words`` is an answer of `WORDS`; ``endless`` has
a token every 10 ms; ``silent`` has one and then nothing; ``flood`` as many as are taken; ``slow``
refuses, with `RETRY_AFTER`; ``broken`` breaks off after two. The bytes are its own, by h11: no
framework comes between.
"""

import json
import re
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from typing import Any, ClassVar

import h11
import trio

WORDS = ["A", " stream", "\n", "of", " wörds"]
RETRY_AFTER = "7"


class Request:
    """One request for an answer: what was asked, and how it ended."""

    def __init__(self, path: str, body: dict[str, Any]) -> None:
        self.path = path
        self.body = body
        self.begun = trio.Event()
        self.left = trio.Event()


class Endpoint:
    """Where it listens, and what it was asked."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.requests: list[Request] = []


class Dialect:
    """The bytes of an answer: those before the tokens, of each token, and behind them."""

    content_type = "text/event-stream"
    refusal: ClassVar[Any] = {"error": {"message": "slow down", "type": "rate_limit", "code": 429}}

    def begin(self) -> Iterator[bytes]:
        return iter(())

    def token(self, text: str) -> bytes:
        raise NotImplementedError

    def end(self) -> Iterator[bytes]:
        return iter(())


def event(data: Any, name: str | None = None) -> bytes:
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


class Completions(Dialect):
    """OpenAI's chat completions, and those of many others."""

    def _chunk(self, delta: Any, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return event(
            {
                "id": "c1",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "m",
                "choices": [choice],
            }
        )

    def begin(self) -> Iterator[bytes]:
        yield self._chunk({"role": "assistant", "content": ""})

    def token(self, text: str) -> bytes:
        return self._chunk({"content": text})

    def end(self) -> Iterator[bytes]:
        yield self._chunk({}, "stop")
        yield event("[DONE]")


class Responses(Dialect):
    """OpenAI's responses."""

    def __init__(self) -> None:
        self._number = -1

    def _event(self, kind: str, **facts: Any) -> bytes:
        self._number += 1
        return event({"type": kind, "sequence_number": self._number, **facts}, kind)

    def _response(self, status: str) -> Any:
        return {"id": "r1", "object": "response", "status": status, "model": "m", "output": []}

    def begin(self) -> Iterator[bytes]:
        yield self._event("response.created", response=self._response("in_progress"))

    def token(self, text: str) -> bytes:
        place = {"item_id": "m1", "output_index": 0, "content_index": 0}
        return self._event("response.output_text.delta", delta=text, logprobs=[], **place)

    def end(self) -> Iterator[bytes]:
        yield self._event("response.completed", response=self._response("completed"))


class Messages(Dialect):
    """Anthropic's messages."""

    refusal: ClassVar = {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": "slow down"},
    }

    def _event(self, kind: str, **facts: Any) -> bytes:
        return event({"type": kind, **facts}, kind)

    def begin(self) -> Iterator[bytes]:
        message = {"id": "m1", "type": "message", "role": "assistant", "model": "m", "content": []}
        usage = {"input_tokens": 1, "output_tokens": 1}
        more = {"stop_reason": None, "stop_sequence": None, "usage": usage}
        yield self._event("message_start", message={**message, **more})
        block = {"type": "text", "text": ""}
        yield self._event("content_block_start", index=0, content_block=block)
        yield self._event("ping")

    def token(self, text: str) -> bytes:
        delta = {"type": "text_delta", "text": text}
        return self._event("content_block_delta", index=0, delta=delta)

    def end(self) -> Iterator[bytes]:
        yield self._event("content_block_stop", index=0)
        delta = {"stop_reason": "end_turn", "stop_sequence": None}
        yield self._event("message_delta", delta=delta, usage={"output_tokens": 5})
        yield self._event("message_stop")


class Gemini(Dialect):
    """Google's generateContent, streamed as events whose lines end in CR LF."""

    refusal: ClassVar = {
        "error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}
    }

    def _chunk(self, text: str, **more: str) -> bytes:
        content = {"parts": [{"text": text}], "role": "model"}
        data = {"candidates": [{"content": content, "index": 0, **more}], "modelVersion": "m"}
        return event(data).replace(b"\n", b"\r\n")

    def token(self, text: str) -> bytes:
        return self._chunk(text)

    def end(self) -> Iterator[bytes]:
        yield self._chunk("", finishReason="STOP")


class Cohere(Dialect):
    """Cohere's chat, the second version."""

    refusal: ClassVar = {"message": "slow down"}

    def _event(self, kind: str, **facts: Any) -> bytes:
        return event({"type": kind, **facts}, kind)

    def begin(self) -> Iterator[bytes]:
        message = {"role": "assistant", "content": [], "tool_calls": [], "citations": []}
        yield self._event("message-start", id="c1", delta={"message": message})

    def token(self, text: str) -> bytes:
        delta = {"message": {"content": {"text": text}}}
        return self._event("content-delta", index=0, delta=delta)

    def end(self) -> Iterator[bytes]:
        yield self._event("message-end", delta={"finish_reason": "COMPLETE"})


class Ollama(Dialect):
    """Ollama's chat: a line of JSON for each token."""

    content_type = "application/x-ndjson"
    refusal: ClassVar = {"error": "slow down"}

    def _line(self, text: str, *, done: bool) -> bytes:
        message = {"role": "assistant", "content": text}
        line = {"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": message}
        return json.dumps({**line, "done": done}).encode() + b"\n"

    def token(self, text: str) -> bytes:
        return self._line(text, done=False)

    def end(self) -> Iterator[bytes]:
        yield self._line("", done=True)


DIALECTS: list[tuple[str, Callable[[], Dialect]]] = [
    (r"/v1/messages$", Messages),
    (r"/responses$", Responses),
    (r":streamGenerateContent$", Gemini),
    (r"/v2/chat$", Cohere),
    (r"/api/chat$", Ollama),
    (r"/chat/completions$", Completions),
]


@asynccontextmanager
async def model_endpoint() -> AsyncGenerator[Endpoint]:
    """Serve on a free port until the block ends."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    endpoint = Endpoint(listener.socket.getsockname()[1])
    async with trio.open_nursery() as nursery:
        handle = partial(_handle, endpoint)
        nursery.start_soon(partial(trio.serve_listeners, handle, [listener]))
        yield endpoint
        nursery.cancel_scope.cancel()


class _Connection:
    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._h11 = h11.Connection(h11.SERVER)

    async def next(self) -> Any:
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            self._h11.receive_data(await self._stream.receive_some())
        return event

    async def send(self, event: h11.Event) -> None:
        data = self._h11.send(event)
        assert data is not None
        await self._stream.send_all(data)

    async def request(self) -> tuple[h11.Request, bytes] | None:
        """The next request with its body; None when there is none."""
        request = await self.next()
        if not isinstance(request, h11.Request):
            return None
        body = b""
        while isinstance(data := await self.next(), h11.Data):
            body += data.data
        return request, body

    async def until_left(self) -> None:
        with suppress(trio.BrokenResourceError):
            await self._stream.receive_some()

    def start_next_cycle(self) -> bool:
        if self._h11.our_state is not h11.DONE:
            return False
        self._h11.start_next_cycle()
        return True


async def _handle(endpoint: Endpoint, stream: trio.SocketStream) -> None:
    connection = _Connection(stream)
    with suppress(trio.BrokenResourceError):
        while (asked := await connection.request()) is not None:
            await _answer(endpoint, connection, *asked)
            if not connection.start_next_cycle():
                return


async def _answer(
    endpoint: Endpoint, connection: _Connection, asked: h11.Request, body: bytes
) -> None:
    path = asked.target.decode().partition("?")[0]
    content = json.loads(body or b"{}")
    in_path = re.search(r"models/(\w+):", path)
    model = in_path[1] if in_path else content["model"]
    dialect = next(make() for pattern, make in DIALECTS if re.search(pattern, path))
    request = Request(path, content)
    endpoint.requests.append(request)
    if model == "slow":
        await _refuse(connection, dialect)
        return
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def watch() -> None:
            await connection.until_left()
            request.left.set()
            nursery.cancel_scope.cancel()

        try:
            await _stream(connection, dialect, model, request)
        except trio.BrokenResourceError:
            request.left.set()
        nursery.cancel_scope.cancel()


async def _refuse(connection: _Connection, dialect: Dialect) -> None:
    body = json.dumps(dialect.refusal).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body))}
    headers["retry-after"] = RETRY_AFTER
    await connection.send(h11.Response(status_code=429, headers=list(headers.items())))
    await connection.send(h11.Data(data=body))
    await connection.send(h11.EndOfMessage())


async def _stream(connection: _Connection, dialect: Dialect, model: str, request: Request) -> None:
    headers = [("content-type", dialect.content_type), ("transfer-encoding", "chunked")]
    await connection.send(h11.Response(status_code=200, headers=headers))
    for data in dialect.begin():
        await connection.send(h11.Data(data=data))
    request.begun.set()
    async with aclosing(_tokens(model)) as tokens:
        async for text in tokens:
            await connection.send(h11.Data(data=dialect.token(text)))
    if model != "broken":
        for data in dialect.end():
            await connection.send(h11.Data(data=data))
        await connection.send(h11.EndOfMessage())


async def _tokens(model: str) -> AsyncGenerator[str]:
    if model == "silent":
        yield WORDS[0]
        await trio.sleep_forever()
    while model == "endless":
        yield "tick "
        await trio.sleep(0.01)
    while model == "flood":
        yield "x" * 2000
        await trio.lowlevel.checkpoint()
    for text in WORDS[: 2 if model == "broken" else None]:
        yield text
        await trio.lowlevel.checkpoint()
