#!/bin/sh
# anthropic 2.14.0 and openai 3.57.0, which parse by jiter 0.19.0 (under Trio 0.35.0)
#
# Expected: while a tool's input or a structured answer is on its way, the SDKs' helpers show the
#   part that is settled. A text that is cut in two is left out until it is whole, and so are "tru"
#   and "-" and "12.".
# Instead: of a number the digits that have come are the number. The price 1299 is 12 first; 12.5 is
#   12, then nothing, and then 12.5, if the cuts fall so. Nothing tells it from a whole one.
# Matters: a page that shows an order as it is written shows a price that nobody has said, and code
#   that acts on a field as soon as it is there acts on that.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    anthropic==2.14.0 openai==3.57.0 jiter==0.19.0 httpx2==2.16.2 trio==0.35.0

cat > seen.py <<'PYTHON'
import json

import anthropic
import httpx2
import openai
import pydantic
import trio

PIECES = ['{"item": "la', 'mp", "price": 12', '99, "weight": 12', ".", "5}"]
QUESTION = {"model": "m", "messages": [{"role": "user", "content": "a lamp, please"}]}


class Order(pydantic.BaseModel):
    item: str
    price: float
    weight: float


def answering(body):
    headers = {"content-type": "text/event-stream"}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, content=body))
    return httpx2.AsyncClient(transport=transport)


def event(data):
    return f"event: {data.get('type')}\ndata: {json.dumps(data)}\n\n"


async def by_anthropic():
    tool = {"type": "tool_use", "id": "t", "name": "order", "input": {}}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": []}
    message |= {"stop_reason": None, "usage": {"input_tokens": 1, "output_tokens": 1}}
    end = {"delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}}
    body = event({"type": "message_start", "message": message})
    body += event({"type": "content_block_start", "index": 0, "content_block": tool})
    for piece in PIECES:
        delta = {"type": "input_json_delta", "partial_json": piece}
        body += event({"type": "content_block_delta", "index": 0, "delta": delta})
    body += event({"type": "content_block_stop", "index": 0})
    body += event({"type": "message_delta", **end}) + event({"type": "message_stop"})
    client = anthropic.AsyncAnthropic(api_key="k", http_client=answering(body))
    async with client, client.messages.stream(max_tokens=9, **QUESTION) as stream:
        return [dict(item.snapshot) async for item in stream if item.type == "input_json"]


async def by_openai():
    def chunk(delta, reason=None):
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        kind = {"object": "chat.completion.chunk", "id": "c", "created": 1, "model": "m"}
        return f"data: {json.dumps(kind | {'choices': [choice]})}\n\n"

    body = "".join(chunk({"role": "assistant", "content": piece}) for piece in PIECES)
    body += chunk({}, "stop") + "data: [DONE]\n\n"
    client = openai.AsyncOpenAI(api_key="k", http_client=answering(body))
    asked = client.chat.completions.stream(response_format=Order, **QUESTION)
    async with client, asked as stream:
        return [item.parsed or {} async for item in stream if item.type == "content.delta"]


seen = {"anthropic": trio.run(by_anthropic), "openai": trio.run(by_openai)}
for name, snapshots in seen.items():
    print(name)
    for piece, snapshot in zip(PIECES, snapshots, strict=True):
        print(f"  {piece:20} {snapshot}")
lamp = {"item": "lamp", "price": 1299}
expected = [
    {},
    {"item": "lamp", "price": 12},
    {**lamp, "weight": 12},
    lamp,
    {**lamp, "weight": 12.5},
]
assert seen["anthropic"] == seen["openai"] == expected
PYTHON
timeout 60 venv/bin/python seen.py
