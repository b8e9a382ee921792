#!/bin/sh
# opentelemetry-instrumentation-httpx 0.66b2 (opentelemetry-sdk 1.45.2, httpx 0.28.1, Trio 0.35.0)
#
# Expected: the span of a request is as long as the request: of a streamed answer to the end of its
#   body, and it is an error if that breaks off.
# Instead: it ends when the headers are there. A stream of a second is a span of some milliseconds;
#   one that breaks off after its first events is a span without an error.
# Matters: traces of a model's answers show its time to the first byte as its time, no failure after
#   that, and the spans of what is done with the words lie outside. Averages and alerts are made of
#   these.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check install -q --no-compile \
    opentelemetry-instrumentation-httpx==0.66b2 opentelemetry-sdk==1.45.2 httpx==0.28.1 trio==0.35.0

cat > seen.py <<'PYTHON'
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import trio
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for text in (b"data: one\n\n", b"data: two\n\n"):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))
            time.sleep(0.6)
        if self.path == "/whole":
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *args):
        pass


exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
HTTPXClientInstrumentor().instrument(tracer_provider=provider)
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()


async def read(path):
    """Seconds that it took, the error, and the seconds and status of the span."""
    exporter.clear()
    raised, ended_at_the_first_event = None, None
    begun = time.monotonic()
    try:
        async with httpx.AsyncClient() as client:
            url = f"http://127.0.0.1:{server.server_port}{path}"
            async with client.stream("GET", url) as response:
                async for _ in response.aiter_lines():
                    if ended_at_the_first_event is None:
                        ended_at_the_first_event = bool(exporter.get_finished_spans())
    except httpx.HTTPError as error:
        raised = type(error).__name__
    took = time.monotonic() - begun
    [span] = exporter.get_finished_spans()
    seconds = (span.end_time - span.start_time) / 1e9
    return took, raised, ended_at_the_first_event, seconds, span.status.status_code.name


for path, expected in (("/whole", None), ("/broken", "RemoteProtocolError")):
    took, raised, ended_at_the_first_event, seconds, status = trio.run(read, path)
    print(f"{path}: {took:.1f} s, {raised}; its span: {seconds:.3f} s, {status}")
    assert raised == expected and ended_at_the_first_event
    assert took >= 1 and seconds < took - 0.5 and status == "UNSET"
PYTHON
timeout 60 venv/bin/python seen.py
