#!/bin/sh
# urllib.request and http.client of Python 3.11.7, 3.12.1 and 3.13.0 (the one that python3 is)
#
# Expected: a chunked response whose connection closes without the last chunk raises IncompleteRead,
#   however it is read. `read()`, `read(n)` and `read1()` do.
# Instead: read by lines, which is how one reads a stream (`for line in response`, `readline`), it
#   simply ends, if the connection closes between two chunks. With a Content-Length the loop ends
#   just so wherever the body is cut.
# Matters: a server that fails, or a proxy that cuts, closes between two chunks, as each event is
#   one. The script takes half of an answer or of an export for the whole, and exits with 0.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"

cat > seen.py <<'PYTHON'
import http.client
import platform
import socket
import threading
import urllib.request

LINES = [b'{"n": 1}\n', b'{"n": 2}\n', b'{"n": 3}\n']
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
CHUNKS = [b"%x\r\n%b\r\n" % (len(line), line) for line in LINES]
ANSWERS = {
    "/whole": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(CHUNKS) + b"0\r\n\r\n",
    "/chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(CHUNKS),
    "/length": HEAD + b"Content-Length: 1000\r\n\r\n" + b"".join(LINES),
}


def serve(listener):
    while True:
        connection = listener.accept()[0]
        with connection:
            path = connection.recv(4096).split()[1].decode()
            connection.sendall(ANSWERS[path])


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=[listener], daemon=True).start()


def pieces(read):
    return list(iter(read, b""))


WAYS = {
    "for line in response": list,
    "readline()": lambda response: pieces(response.readline),
    "read()": lambda response: [response.read()],
    "read(100)": lambda response: pieces(lambda: response.read(100)),
    "read1()": lambda response: pieces(response.read1),
}


def read(path, way):
    url = f"http://127.0.0.1:{listener.getsockname()[1]}{path}"
    try:
        with urllib.request.urlopen(url, timeout=20) as response:
            return f"{b''.join(way(response)).count(b'n')} lines"
    except http.client.IncompleteRead:
        return "IncompleteRead"


print(f"Python {platform.python_version()}")
seen = {name: [read(path, way) for path in ANSWERS] for name, way in WAYS.items()}
print(f"{'':21} {', '.join(ANSWERS)}")
for name, found in seen.items():
    print(f"{name:21} {', '.join(found)}")
whole, raised = "3 lines", "IncompleteRead"
assert seen == {
    "for line in response": [whole, whole, whole],
    "readline()": [whole, whole, whole],
    "read()": [whole, raised, raised],
    "read(100)": [whole, raised, whole],
    "read1()": [whole, raised, whole],
}
PYTHON
timeout 60 python3 seen.py
