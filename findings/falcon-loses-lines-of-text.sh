#!/bin/sh
# Falcon 4.4.0, falcon.asgi.SSEvent (on uvicorn 0.54.0, read by httpx-sse 0.4.3)
#
# Expected: a text with line breaks is sent as several `data:` lines, as the format wants it and as
#   the other frameworks' event classes do. Nothing in SSEvent's documentation forbids line breaks.
# Instead: the text is put behind one `data:` as it is. From its second line on it is no data but
#   unknown fields, which every client ignores: only the first line arrives. After an empty line
#   what follows is lost as well.
# Matters: Markdown, code, logs and tracebacks arrive as their first line, with no error on either
#   side. SSEvent(json=...) is safe, as JSON escapes line breaks; texts come with text=.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    falcon==4.4.0 uvicorn==0.54.0 httpx==0.28.1 httpx-sse==0.4.3

cat > seen.py <<'PYTHON'
import socket
import threading

import falcon.asgi
import httpx
import httpx_sse
import uvicorn

TEXT = "Dear reader,\nthis is the second line.\n\nAnd a paragraph."


class Letters:
    async def on_get(self, request, response):
        async def produce():
            yield falcon.asgi.SSEvent(text=TEXT)
            yield falcon.asgi.SSEvent(json=TEXT)

        response.sse = produce()


app = falcon.asgi.App()
app.add_route("/", Letters())
listener = socket.create_server(("127.0.0.1", 0))
server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
threading.Thread(target=server.run, args=[[listener]], daemon=True).start()
url = f"http://127.0.0.1:{listener.getsockname()[1]}/"

with httpx.Client() as client, httpx_sse.connect_sse(client, "GET", url) as source:
    text, json = source.iter_sse()
print(f"sent {TEXT!r}\nby text= {text.data!r}\nby json= {json.json()!r}")
assert text.data == "Dear reader,"
assert json.json() == TEXT
PYTHON
timeout 60 venv/bin/python seen.py
